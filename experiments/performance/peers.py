"""What people would use instead: open_clip's losses, and formulas as their papers write them."""

from __future__ import annotations

import open_clip_train.data as open_clip_data
import torch
import webdataset
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor, nn
from torch.nn.functional import softplus

ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}

clip = ClipLoss()
siglip = SigLipLoss()


def adamw(model: nn.Module) -> torch.optim.AdamW:
    """open_clip's optimiser: as its training command groups the parameters."""
    named = list(model.named_parameters())
    plain = {n for n, p in named if p.ndim < 2 or any(x in n for x in ("bn", "ln", "bias"))}
    groups = [
        {"params": [p for n, p in named if n in plain], "weight_decay": 0.0},
        {"params": [p for n, p in named if n not in plain], "weight_decay": 0.1},
    ]
    return torch.optim.AdamW(groups, **ADAMW)


def renew_reader() -> None:
    """Give open_clip's loader WebDataset's reader of tars.

    Its own, which was made from this one, as a comment beside it says, is older than the markers
    that WebDataset 1.0 puts between shards.
    """
    open_clip_data.tarfile_to_samples_nothrow = webdataset.tarfile_to_samples(
        handler=open_clip_data.log_and_continue
    )


def consistency(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """CyCLIP's eq. 2 and 3 as its authors compute them, with three N×N matrices."""
    images, texts, crossed = image @ image.T, text @ text.T, image @ text.T
    n = len(image)
    return (images - texts).square().mean() * n, (crossed - crossed.T).square().mean() * n


def cyclip(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """The authors' whole loss: λ1 = λ2 = 0.25."""
    in_modal, cross_modal = consistency(image, text)
    return clip(image, text, scale) + 0.25 * (in_modal + cross_modal)


def mp_nce(image: Tensor, text: Tensor, scales: Tensor, offsets: Tensor) -> Tensor:
    """UniCLIP's loss from all similarities, ((V+U)·N)²; image (V, N, D), text (U, N, D)."""
    (v, n, _), u = image.shape, len(text)
    rows = torch.cat([image.flatten(0, 1), text.flatten(0, 1)])
    modality = torch.tensor([0] * v + [1] * u)
    domain = (modality[:, None] + modality).repeat_interleave(n, 0).repeat_interleave(n, 1)
    scores = (rows @ rows.T - offsets[domain]) * scales[domain]
    sample = torch.arange(n).repeat(v + u)
    negatives = scores.masked_fill(sample[:, None] == sample, -torch.inf).logsumexp(1)
    blocks = scores.view(v + u, n, v + u, n).diagonal(0, 1, 3)
    losses = softplus(negatives.view(v + u, n)[:, None] - blocks)
    groups = []
    for a in (0, 1):
        for b in (0, 1):
            pairs = (modality[:, None] == a) & (modality == b) & ~torch.eye(v + u, dtype=torch.bool)
            if pairs.any():
                groups.append(losses[pairs].mean())
    return torch.stack(groups).mean()
