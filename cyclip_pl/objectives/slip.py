"""SLIP: CLIP with self-supervision on the images."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.nt_xent import nt_xent_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class SLIP(ScaledObjective):
    """Mu et al., arXiv 2112.12750: CLIP + weight · NT-Xent.

    CLIP takes the first image view, NT-Xent the last two. The paper has three views, the first
    one weak. With two views, the first serves both losses.

    Args:
        self_supervision: Weight of NT-Xent, at least 0.
        temperature: τ of NT-Xent, above 0, fixed.
        init_scale, max_scale: See `ScaledObjective`.
    """

    needs = Needs(image_views=2, heads=frozenset({"views"}))

    def __init__(
        self,
        self_supervision: float = 1.0,
        temperature: float = 0.1,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        checks.number("objective.self_supervision", self_supervision, least=0)
        checks.number("objective.temperature", temperature, above=0)
        self.self_supervision = self_supervision
        self.temperature = temperature

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` with image views (V, n, S) → total and its two unweighted terms."""
        assert embeddings.image_views is not None
        losses = [contrastive_loss(embeddings.image[0], t, self.scale) for t in embeddings.text]
        contrastive = torch.stack(losses).mean()
        first, second = embeddings.image_views[-2:]
        views = nt_xent_loss(first, second, self.temperature)
        return {
            "total": contrastive + self.self_supervision * views,
            "contrastive": contrastive,
            "nt_xent": views,
        }
