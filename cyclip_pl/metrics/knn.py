"""k-nearest-neighbours probe: an image's class from those of the nearest training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.accuracy import ClassHits
from cyclip_pl.metrics.neighbours import majority

_ROWS = 256  # of the k x k comparisons held at once


def knn_predictions(
    cosine_Nk: Tensor, label_Nk: Tensor, ks: Sequence[int], temperature: float = 0.07
) -> dict[str, Tensor]:
    """Classes by weighted votes, `weighted_k<k>`, and by majority, `majority_k<k>`: int64, (N,).

    Weighted, each of the k nearest votes with exp(cosine / T) (Wu et al., arXiv 1805.01978; DINO,
    arXiv 2104.14294), the sums in float64; of equal sums the class of the nearest neighbour among
    them wins. By majority each has one vote, and a tie drops the farthest neighbour until there is
    none.

    Args:
        cosine_Nk, label_Nk: Of the nearest training images, see `neighbours.labels_of_nearest`.
        ks: Each at most the number of columns.
        temperature: T, above 0.

    Returns:
        Predictions; -1 where the embedding of an image, or what is nearest to it, is not finite.
    """
    winner_Nk = majority(label_Nk)
    weight_Nk = (cosine_Nk.double() / temperature).exp()
    parts = list(zip(weight_Nk.split(_ROWS), label_Nk.split(_ROWS), strict=True))
    weighted = {
        f"weighted_k{k}": torch.cat([_heaviest(w[:, :k], y[:, :k]) for w, y in parts]) for k in ks
    }
    return {**weighted, **{f"majority_k{k}": winner_Nk[:, k - 1] for k in ks}}


def _heaviest(weight_Nk: Tensor, label_Nk: Tensor) -> Tensor:
    """The label of the greatest sum of weights; comparing positions needs no N x K."""
    same_Nkk = label_Nk[:, :, None] == label_Nk[:, None, :]
    vote_Nk = (weight_Nk[:, None, :] * same_Nkk).sum(2)
    return label_Nk.gather(1, vote_Nk.argmax(1, keepdim=True))[:, 0]


class KNNAccuracy(ClassHits):
    """Accuracy of the predictions of `knn_predictions`.

    Each of `weighted_k<k>` and `majority_k<k>` is a share of images; with
    `_mean_per_class_recall`, the mean over the classes that have images.

        knn = KNNAccuracy(num_classes=10, ks=(10, 20))
        near = labels_of_nearest(image_ND, train_MD, train_label_M, k=20)
        knn.update(knn_predictions(*near, knn.ks), label_N)
    """

    def __init__(
        self, num_classes: int, ks: Sequence[int] = (10, 20, 100, 200), **kwargs: Any
    ) -> None:
        self.ks = tuple(ks)
        names = [f"{vote}_k{k}" for vote in ("weighted", "majority") for k in self.ks]
        recalls = [f"{name}_mean_per_class_recall" for name in names]
        super().__init__(num_classes, names, recalls, **kwargs)

    def update(self, predictions: Mapping[str, Tensor], label_N: Tensor) -> None:
        """Add images: predicted classes by name, and true classes, int64, (N,)."""
        if self.names:  # `torch.stack` refuses an empty list
            hit_NX = torch.stack([predictions[name] == label_N for name in self.names], 1)
            self.count_classes(hit_NX, label_N)
