"""Losses of true pairs, and the check that rows are pairs."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def pair_losses(query: Tensor, key: Tensor, scale: Tensor | float, negatives: Tensor) -> Tensor:
    """softplus(negatives − s·⟨Q_j,K_j⟩): rows (n, D), (n, D), log-sum-exps (…, n) → (…, n)."""
    return -logsigmoid(scale * (query * key).sum(-1) - negatives)


def check_pair(image: Tensor, text: Tensor) -> None:
    """Raise ValueError unless both are (n, D) with the same n and D."""
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(
            "image and text embeddings must both be (n, D),"
            f" not {tuple(image.shape)} and {tuple(text.shape)}"
        )
