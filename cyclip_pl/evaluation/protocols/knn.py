"""k-nearest-neighbours probe: classes of test images from those of the nearest training images."""

from __future__ import annotations

from collections.abc import Sequence

from cyclip_pl import checks
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
        cosine_nk, label_nk = labels_of_nearest(
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
                )
            },
            images.columns(dataset.test, **predictions),
        )
