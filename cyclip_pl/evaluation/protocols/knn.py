"""k-nearest-neighbours probe: classes of test images from those of the nearest training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.rows import double_device, rows_of, what_rows, within
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.probes.linear_classifier import mean_per_class
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals
from cyclip_pl.metrics.neighbours import labels_of_nearest, majority

_ROWS = 256  # of the k x k comparisons held at once


def knn_predictions(
    test_ND: Tensor,
    train_MD: Tensor,
    train_label_M: Tensor,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperature: float = 0.07,
    device: torch.device | str | None = None,
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """k -> classes by weighted votes, and by majority: int64, (N,), on the CPU.

    Weighted, each of the k nearest votes with exp(cosine / T) (Wu et al., arXiv 1805.01978; DINO,
    arXiv 2104.14294), the sums in float64; of equal sums the class of the nearest neighbour among
    them wins. By majority each votes once, and a tie drops the farthest neighbour until there is
    none. The order of equal cosines and the memory are those of `neighbours.nearest`.

    Args:
        test_ND: (N, D), any float type and length.
        train_MD: (M, D), likewise.
        train_label_M: int64.
        ks: Each at most M.
        temperature: T, above 0.
        device: Where to search; that of the test images if None.

    Returns:
        Predictions; -1 where the embedding of an image, or what is nearest to it, is not finite.

    Raises:
        ValueError: The largest k is more than M.
    """
    assert all(k >= 1 for k in ks) and temperature > 0
    if not ks:
        return {}, {}
    cosine_Nk, label_Nk = labels_of_nearest(test_ND, train_MD, train_label_M, max(ks), device)
    winner_Nk = majority(label_Nk).cpu()
    weight_Nk = (cosine_Nk.double() / temperature).exp()
    chunks = list(zip(weight_Nk.split(_ROWS), label_Nk.split(_ROWS), strict=True))
    weighted = {k: torch.cat([_heaviest(w[:, :k], y[:, :k]) for w, y in chunks]).cpu() for k in ks}
    return weighted, {k: winner_Nk[:, k - 1] for k in ks}


def _heaviest(weight_Nk: Tensor, label_Nk: Tensor) -> Tensor:
    """The label of the greatest sum of weights; comparing positions needs no N x classes."""
    same_Nkk = label_Nk[:, :, None] == label_Nk[:, None, :]
    vote_Nk = (weight_Nk[:, None, :] * same_Nkk).sum(2)
    return label_Nk.gather(1, vote_Nk.argmax(1, keepdim=True))[:, 0]


class KNN:
    """Accuracy of the nearest labelled training images' classes.

    Neighbours are by the cosine of the encoder's features, or of the embeddings where the model
    gives no features. Figures of a set: `weighted_k<k>` and `majority_k<k>` for each k, see
    `knn_predictions`, each with its bounds, `..._low` and `..._high` of `bootstrap`, and
    `..._mean_per_class_recall` where that is the set's own metric; `samples`,
    and `train_samples`, the images of either split that could be decoded. A k above the number of
    training images is left out.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        ks: The numbers of neighbours.
        temperature: T of the weights.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

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
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self.train_split = train_split
        self.ks = checks.whole_numbers(f"evaluation.{name}.ks", ks)
        if not isinstance(temperature, int | float) or not temperature > 0:
            raise ValueError(f"evaluation.{name}.temperature must be above 0; got {temperature!r}")
        self.temperature = float(temperature)
        self._sets: list[TrainTest] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is None:
            setting = f"evaluation.{self.name}.datasets"
            self._sets = self.library.splits(self.specs, self.train_split, self.split, setting)

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a split can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for both in self._sets:
            self._add(results, both, store)
        return results

    def _add(self, results: Results, both: TrainTest, store: FeatureStore) -> None:
        images = store.images(both.test, features=True)
        train = store.images(both.train, features=True)
        weighted, by_majority = knn_predictions(
            rows_of(images),
            rows_of(train),
            train.label_N,
            within(self.ks, len(train), both.test),
            self.temperature,
            double_device(store),
        )
        predictions = {
            **{f"weighted_k{k}": class_N for k, class_N in weighted.items()},
            **{f"majority_k{k}": class_N for k, class_N in by_majority.items()},
        }
        right = {name: class_N == images.label_N for name, class_N in predictions.items()}
        shares = {name: right_N.double().mean().item() for name, right_N in right.items()}
        of_classes = {
            f"{name}_mean_per_class_recall": mean_per_class(class_N, images.label_N)
            for name, class_N in predictions.items()
            if both.test.metric == "mean_per_class_recall"
        }
        results.add(
            both.test.name,
            self.name,
            figures={
                **with_intervals(shares, right),
                **of_classes,
                "samples": len(images),
                "train_samples": len(train),
            },
            details={
                "protocol": {
                    "split": self.split,
                    "train_split": self.train_split,
                    "temperature": self.temperature,
                    "rows": what_rows(images),
                    "metric": both.test.metric,
                    "interval": PROTOCOL,
                }
            },
            predictions={
                "index": images.index_N.tolist(),
                "key": [both.test.key(index) for index in images.index_N.tolist()],
                "label": images.label_N.tolist(),
                **{name: class_N.tolist() for name, class_N in predictions.items()},
            },
        )
