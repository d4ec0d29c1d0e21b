"""Embeddings with every head that a projector may have, and their gradients."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl import distributed
from cyclip_pl.objectives.base import Objective
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings

WIDTH, CLUSTERS, VIEWS_WIDTH = 5, 7, 6


def embeddings(needs: Needs, n: int = 12, seed: int = 0, width: int = WIDTH) -> Embeddings:
    """float64 rows of `n` samples, uneven: the pairs agree ever less, the clusters get sharper."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    v, u = needs.image_views, needs.text_views
    noise = torch.linspace(0.1, 2, n, dtype=torch.float64)[:, None]
    shared, clusters, views = random(n, width), random(n, CLUSTERS), random(n, VIEWS_WIDTH)
    return Embeddings(
        image=normalize(shared + noise * random(v, n, width), dim=-1),
        text=normalize(shared + noise * random(u, n, width), dim=-1),
        image_clusters=((clusters + random(v, n, CLUSTERS)) * noise * 2).log_softmax(-1),
        text_clusters=((clusters + random(u, n, CLUSTERS)) * noise * 2).log_softmax(-1),
        image_views=normalize(views + noise * random(v, n, VIEWS_WIDTH), dim=-1),
        # Each caption twice, on different ranks; the numbers need all of int64's digits.
        caption_ids=2**62 - torch.arange(n)[None] % max(1, n // 2),
    )


def mapped(rows: Embeddings, function) -> Embeddings:
    """`function` of every tensor of numbers that have gradients; ids stay."""
    heads = {f.name: getattr(rows, f.name) for f in fields(rows)}
    return Embeddings(
        **{name: function(x) if x.is_floating_point() else x for name, x in heads.items()}
    )


def of_rank(rows: Embeddings) -> Embeddings:
    """This rank's samples."""
    n = rows.image.shape[1] // distributed.world_size()
    own = slice(distributed.rank() * n, (distributed.rank() + 1) * n)
    parts = mapped(rows, lambda x: x[:, own])
    return replace(parts, caption_ids=rows.caption_ids[:, own])


def run(
    objective: Objective, rows: Embeddings, autocast: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Terms, and the gradients of `total` by rows (those it has one of) and by parameters."""
    leaves = mapped(rows, lambda x: x.detach().clone().requires_grad_())
    objective.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        terms = objective(leaves)
    terms["total"].backward()
    gradients = {f.name: getattr(leaves, f.name).grad for f in fields(leaves)}
    return (
        {name: value.detach() for name, value in terms.items()},
        {name: gradient for name, gradient in gradients.items() if gradient is not None},
        {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None},
    )
