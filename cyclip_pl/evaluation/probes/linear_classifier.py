"""A linear layer on frozen features, and how well it and other probes predict.

Shape legend: N images, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS = 16384


@dataclass(frozen=True)
class LinearClassifier:
    """argmax_k <w_k, x> + b_k.

    Attributes:
        weight_KF: Of any float type; features are brought to it.
        bias_K: Likewise; -inf for a class that is never predicted.
    """

    weight_KF: Tensor
    bias_K: Tensor

    def to(self, device: torch.device | str) -> LinearClassifier:
        """The same, elsewhere."""
        return LinearClassifier(self.weight_KF.to(device), self.bias_K.to(device))

    def predict(self, feature_NF: Tensor) -> Tensor:
        """Classes (N,), int64, on the CPU; the lower of equal ones, -1 for a row not finite."""
        if not len(feature_NF):
            return torch.empty(0, dtype=torch.int64)
        return torch.cat([self._predict(x_nF).cpu() for x_nF in feature_NF.split(_ROWS)])

    def _predict(self, feature_nF: Tensor) -> Tensor:
        feature_nF = feature_nF.to(self.weight_KF)
        with torch.autocast(feature_nF.device.type, enabled=False):
            best_n, class_n = (feature_nF @ self.weight_KF.T + self.bias_K).max(1)
        return class_n.masked_fill(~best_n.isfinite(), -1)


def accuracy(prediction_N: Tensor, label_N: Tensor) -> float:
    """Share of right predictions."""
    return (prediction_N == label_N).double().mean().item()


def mean_per_class_recall(prediction_N: Tensor, label_N: Tensor) -> float:
    """Mean over the classes that have images of the share of right predictions in each."""
    _, class_N, images_K = label_N.unique(return_inverse=True, return_counts=True)
    right_K = torch.bincount(class_N[prediction_N == label_N], minlength=len(images_K))
    return (right_K.double() / images_K).mean().item()


METRICS = {"acc1": accuracy, "mean_per_class_recall": mean_per_class_recall}
"""What a search can go by, on rows that this rank holds; by the name of a set's own metric."""
