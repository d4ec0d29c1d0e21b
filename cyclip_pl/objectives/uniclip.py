"""UniCLIP: all views of both modalities in one space under one loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cyclip_pl.losses.mp_nce import PairWeight, mp_nce_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings


class UniCLIP(ScaledObjective):
    """Lee et al., arXiv 2209.13430: MP-NCE with a similarity of each domain's own.

    s_ij = (⟨z_i,z_j⟩ − b_D)·s_D, s_D and b_D learnable for D of image-image, image-text and
    text-text. With one text a sample no positive pair is text-text, so that a b_TT of its own would
    only ever grow, and switch those negatives off. It is tied to b_IT, in the exponent's units:
    b_TT·s_TT = b_IT·s_IT. (Tied as cosines, b_TT = b_IT, they are switched off all the same: s_TT
    falls to 1 and the common offset goes to −∞.)

    Args:
        pair_weight: `balanced` or `uniform`, see `mp_nce_loss`.
        tie_text_offset: b_TT follows b_IT; else it is learnt, which several texts a sample allow.
        init_scale, max_scale: of each domain's multiplier, see `ScaledObjective`.

    Raises:
        ValueError: another `pair_weight`.
    """

    def __init__(
        self,
        pair_weight: PairWeight = "balanced",
        tie_text_offset: bool = True,
        init_scale: float = 1 / 0.07,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        if pair_weight not in ("balanced", "uniform"):
            raise ValueError(
                f"objective.pair_weight must be balanced or uniform, got {pair_weight!r}"
            )
        self.pair_weight: PairWeight = pair_weight
        # `logit_scale`, the base's, is the image-text domain's.
        self.image_logit_scale = nn.Parameter(torch.tensor([math.log(init_scale)]))
        self.text_logit_scale = nn.Parameter(torch.tensor([math.log(init_scale)]))
        self.image_offset = nn.Parameter(torch.zeros(1))
        self.offset = nn.Parameter(torch.zeros(1))
        self.text_offset = None if tie_text_offset else nn.Parameter(torch.zeros(1))

    def _domains(self) -> tuple[Tensor, Tensor]:
        """s_D and b_D, (3,) each: image-image, image-text, text-text."""
        scales = torch.cat([self.image_logit_scale, self.logit_scale, self.text_logit_scale]).exp()
        if self.text_offset is None:
            text_offset = self.offset * scales[1] / scales[2]
        else:
            text_offset = self.text_offset
        return scales, torch.cat([self.image_offset, self.offset, text_offset])

    def scalars(self) -> dict[str, Tensor]:
        scales, offsets = (x.detach() for x in self._domains())
        return {
            "scale": scales[1],
            "scale_image_image": scales[0],
            "scale_text_text": scales[2],
            "offset_image_text": offsets[1],
            "offset_image_image": offsets[0],
            "offset_text_text": offsets[2],
        }

    @torch.no_grad()
    def clamp_(self) -> None:
        for logit_scale in (self.logit_scale, self.image_logit_scale, self.text_logit_scale):
            logit_scale.clamp_(0, self.max_log_scale)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "mp_nce"}."""
        loss = mp_nce_loss(embeddings.image, embeddings.text, *self._domains(), self.pair_weight)
        return {"total": loss, "mp_nce": loss}
