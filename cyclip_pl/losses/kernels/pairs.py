"""The loss of true pairs, and the check that rows are pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl.distributed import sum_over_ranks, world_size


def mean_over_ranks(losses: Tensor) -> Tensor:
    """The mean of the losses of all ranks, equally many on each."""
    return sum_over_ranks(losses.sum()) / (losses.numel() * world_size())


def pair_loss(query: Tensor, key: Tensor, scale: Tensor | float, negatives: Tensor) -> Tensor:
    """Mean of softplus(negatives − s·⟨Q_j,K_j⟩): rows (n, D), (n, D), log-sum-exps (…, n)."""
    return mean_over_ranks(-logsigmoid(scale * (query * key).sum(-1) - negatives))


def check_pair(image: Tensor, text: Tensor) -> None:
    """Raise ValueError unless both are (n, D) with the same n and D."""
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(
            "image and text embeddings must both be (n, D),"
            f" not {tuple(image.shape)} and {tuple(text.shape)}"
        )


def gradients_wanted(*leaves: Tensor) -> bool:
    """Whether a loss that computes its gradients in the forward pass is to do so."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in leaves)
