"""The linear probe of CyCLIP's paper: one layer, AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from cyclip_pl.evaluation.probes.linear_classifier import LinearClassifier


def adamw_probe(
    feature_NF: Tensor,
    label_N: Tensor,
    classes: int,
    seed: int = 0,
    epochs: int = 32,
    batch_size: int = 16,
    lr: float = 5e-3,
    weight_decay: float = 0.01,
    device: torch.device | str | None = None,
) -> LinearClassifier:
    """One linear layer on frozen, un-normalised features (CyCLIP, arXiv 2205.14459).

    Cross-entropy, AdamW, its decay not on the bias, the learning rate a cosine from `lr` to 0 over
    all steps, without warm-up. Starts as `torch.nn.Linear` does; start and order come from the
    seed alone, and the last batch of an epoch may be smaller. float32.

    Args:
        feature_NF: (N, F).
        label_N: int64, below `classes`.
        classes: K.
        device: Where to fit; that of the features if None. All of them go there.
    """
    feature_NF = feature_NF.to(device or feature_NF.device, torch.float32)
    label_N = label_N.to(feature_NF.device)
    samples, width = feature_NF.shape
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        start = torch.empty(shape).uniform_(-1, 1, generator=generator) / math.sqrt(width)
        return start.to(feature_NF.device)

    weight_KF, bias_K = uniform(classes, width), uniform(classes)
    moments: list[list[list[Tensor]]] = [
        [[torch.zeros_like(part)], [torch.zeros_like(part)], [], [part.new_zeros(())]]
        for part in (weight_KF, bias_K)
    ]
    # Thousands of small steps: one kernel per update, and gradients without a graph. It is what
    # torch.optim.AdamW calls; the class would load torch's compiler, which takes seconds.
    update: Callable[..., None] = partial(
        adamw,
        fused=feature_NF.device.type in ("cpu", "cuda"),
        amsgrad=False,
        maximize=False,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
    )
    steps = epochs * math.ceil(samples / batch_size)
    step = 0
    rows = torch.arange(batch_size, device=feature_NF.device)
    with torch.no_grad(), torch.autocast(feature_NF.device.type, enabled=False):
        for _ in range(epochs):
            order_N = torch.randperm(samples, generator=generator).to(feature_NF.device)
            for batch in order_N.split(batch_size):
                rate = lr * (1 + math.cos(math.pi * step / steps)) / 2
                x_nF = feature_NF[batch]
                error_nK = (x_nF @ weight_KF.T + bias_K).softmax(1)
                error_nK[rows[: len(batch)], label_N[batch]] -= 1
                error_nK /= len(batch)
                by_weight_KF, by_bias_K = error_nK.T @ x_nF, error_nK.sum(0)
                update([weight_KF], [by_weight_KF], *moments[0], lr=rate, weight_decay=weight_decay)
                update([bias_K], [by_bias_K], *moments[1], lr=rate, weight_decay=0.0)
                step += 1
    return LinearClassifier(weight_KF, bias_K)
