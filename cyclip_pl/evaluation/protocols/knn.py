"""k-nearest-neighbours probe: classes of test images from those of the nearest training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL.Image import Image
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.examples import FOUND, QUERIES, cut, hits, spread
from cyclip_pl.evaluation.features.nearest import labels_of_nearest, within
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.knn import KNNAccuracy, knn_predictions


class KNN(Protocol[TrainTest]):
    """Accuracy of the nearest labelled training images' classes.

    Neighbours are by the cosine of the encoder's features, or of the embeddings where the model
    gives no features. Metrics of a set: those of `KNNAccuracy`, `..._mean_per_class_recall` only
    where that is the set's own metric; `samples` and `train_samples`, the images of either split
    that could be decoded. A k above the number of training images is left out.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        ks: The numbers of neighbours.
        temperature: T of the weights exp(cosine / T).
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = True

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        train_split: str = "train",
        ks: Sequence[int] = (10, 20, 100, 200),
        temperature: float = 0.07,
        name: str = "knn",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split)
        self.specs = named_sets(datasets, self.setting("datasets"))
        self.train_split = train_split
        self.ks = checks.whole_numbers(self.setting("ks"), ks)
        checks.number(self.setting("temperature"), temperature, above=0)
        self.temperature = temperature

    def _open(self) -> list[TrainTest]:
        setting = self.setting("datasets")
        return self.library.splits(self.specs, self.train_split, self.split, setting)

    def _add(self, results: Results, dataset: TrainTest, store: FeatureStore) -> None:
        images = store.images(dataset.test, features=True)
        train = store.images(dataset.train, features=True)
        device = store.double_device
        ks = within(self.ks, train.total, dataset.test.name)
        cosine_nk, label_nk, number_nk = labels_of_nearest(
            images.rows.probe_nF, train, train.rows.probe_nF, max(ks, default=1), device
        )
        predictions = knn_predictions(cosine_nk, label_nk, ks, self.temperature)
        accuracy = KNNAccuracy(len(dataset.test.classnames), ks).to(device)
        accuracy.update(predictions, images.rows.label_n.to(device))
        of_classes = "mean_per_class_recall"
        metrics = {
            name: value
            for name, value in accuracy.compute().items()
            if dataset.test.metric == of_classes or not name.endswith(of_classes)
        }
        label_n = images.rows.label_n
        right = {name: said.cpu() == label_n for name, said in predictions.items()}
        gallery, shown = _gallery(dataset, images, train, cosine_nk, number_nk)
        results.add(
            dataset.test.name,
            self.name,
            {**metrics, "samples": images.total, "train_samples": train.total},
            {
                "protocol": self.protocol(
                    train_split=self.train_split,
                    temperature=self.temperature,
                    rows=images.rows.probed,
                    metric=dataset.test.metric,
                ),
                "hits": hits(dataset.test, images, right),
                "gallery": gallery,
            },
            images.columns(dataset.test, **predictions),
            shown,
        )


def _gallery(
    dataset: TrainTest,
    images: EncodedImages,
    train: EncodedImages,
    cosine_nk: Tensor,
    number_nk: Tensor,
) -> tuple[list[dict[str, Any]], dict[str, Callable[[], Image]]]:
    """A few test images with the training images nearest to them, and all of these by name."""
    index_N, index_M = images.whole(images.rows.index_n), train.whole(train.rows.index_n)
    index_q = index_N[spread(len(index_N), QUERIES)]
    number_qk = images.chosen(index_q, number_nk[:, :FOUND])
    cosine_qk = images.chosen(index_q, cosine_nk[:, :FOUND])
    test_set, train_set = dataset.test, dataset.train
    rows: list[dict[str, Any]] = []
    shown: dict[str, Callable[[], Image]] = {}
    for i, number_k, cosine_k in zip(index_q.tolist(), number_qk, cosine_qk, strict=True):
        label = int(test_set.label_N[i])
        found: list[dict[str, Any]] = []
        shown[f"test_{i}"] = partial(test_set.image, i)
        for j, cosine in zip(index_M[number_k].tolist(), cosine_k.tolist(), strict=True):
            near = int(train_set.label_N[j])
            shown[f"train_{j}"] = partial(train_set.image, j)
            found.append(
                {
                    "image": f"train_{j}",
                    "text": cut(train_set.classnames[near]),
                    "cosine": round(cosine, 4),
                    "right": near == label,
                }
            )
        name = cut(test_set.classnames[label])
        rows.append({"image": f"test_{i}", "text": name, "found": found})
    return rows, shown
