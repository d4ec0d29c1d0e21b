"""UniCLIP: all views of both modalities in one space, under one loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.losses.mp_nce import Denominator, PairWeight, mp_nce_loss
from cyclip_pl.objectives.base import ScaledObjective, caption_ids_of
from cyclip_pl.types import Embeddings


class UniCLIP(ScaledObjective):
    """Lee et al., arXiv 2209.13430: MP-NCE with a similarity that depends on the domain.

    s_ij = (⟨z_i,z_j⟩ − b_D)·s_D, where s_D and b_D are learnable for the domains D image-image,
    image-text and text-text. With one text per sample no positive pair is text-text, so a free b_TT
    would only grow and switch those negatives off. It is tied to b_IT in the units of the exponent:
    b_TT·s_TT = b_IT·s_IT. (Tied as cosines, b_TT = b_IT, those negatives are switched off too: s_TT
    falls to 1 and the common offset goes to −∞.)

    That the scale depends on the domain is the paper's. The offset's form, the initial values, the
    tie, `pair_weight`, `denominator` and `mask_equal_captions` are *our choice*.

    Args:
        pair_weight: `balanced` or `uniform`, see `mp_nce_loss`.
        denominator: `shared` or `domain`, see `mp_nce_loss`. `domain` has no offsets.
        mask_equal_captions: Whether samples whose captions are the same are not each other's
            negatives.
        domain_dependent: False gives all domains one scale and no offset: a common one cancels.
        tie_text_offset: Whether b_TT follows b_IT. Several texts per sample allow to learn it.
        init_image_offset: b_II at the start, a cosine. The others start at 0.
        init_scale, max_scale: Of each domain's scale, see `ScaledObjective`.
    """

    def __init__(
        self,
        pair_weight: PairWeight = "balanced",
        denominator: Denominator = "shared",
        mask_equal_captions: bool = False,
        domain_dependent: bool = True,
        tie_text_offset: bool = True,
        init_image_offset: float = 0.0,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        checks.one_of("objective.pair_weight", pair_weight, ("balanced", "uniform"))
        checks.number("objective.init_image_offset", init_image_offset, least=-1, most=1)
        checks.one_of("objective.denominator", denominator, ("shared", "domain"))
        self.pair_weight: PairWeight = pair_weight
        self.denominator: Denominator = denominator
        self.mask_equal_captions = mask_equal_captions
        self.domain_dependent = domain_dependent
        self.has_offsets = domain_dependent and denominator == "shared"
        if not self.has_offsets and (init_image_offset or not tie_text_offset):
            setting = "denominator=domain" if domain_dependent else "domain_dependent=false"
            raise ValueError(
                f"objective.{setting}: has no offsets;"
                " leave out init_image_offset and tie_text_offset"
            )
        if not domain_dependent:
            return
        # The base's `logit_scale` is that of the domain image-text.
        self.image_logit_scale = nn.Parameter(self.logit_scale.detach().clone())
        self.text_logit_scale = nn.Parameter(self.logit_scale.detach().clone())
        if not self.has_offsets:
            return
        self.image_offset = nn.Parameter(torch.full((1,), float(init_image_offset)))
        self.offset = nn.Parameter(torch.zeros(1))
        self.text_offset = None if tie_text_offset else nn.Parameter(torch.zeros(1))

    def _domains(self) -> tuple[Tensor, Tensor]:
        """s_D and b_D, (3,) each, of image-image, image-text and text-text."""
        if not self.domain_dependent:
            scales = self.logit_scale.exp().expand(3)
            return scales, torch.zeros_like(scales)
        scales = torch.cat([self.image_logit_scale, self.logit_scale, self.text_logit_scale]).exp()
        if not self.has_offsets:
            return scales, torch.zeros_like(scales)
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
        super().clamp_()
        if self.domain_dependent:
            for logit_scale in (self.image_logit_scale, self.text_logit_scale):
                logit_scale.clamp_(0, self.max_log_scale)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "mp_nce"}."""
        loss = mp_nce_loss(
            *(embeddings.image, embeddings.text, *self._domains(), self.pair_weight),
            denominator=self.denominator,
            caption_ids=caption_ids_of(embeddings, self.mask_equal_captions),
        )
        return {"total": loss, "mp_nce": loss}
