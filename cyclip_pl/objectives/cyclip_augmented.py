"""CyCLIP with an augmented view of each modality: the authors' `--inmodal` variant."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.info_nce import info_nce
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.objectives.cyclic import CyclicConsistency
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class CyCLIPAugmented(ScaledObjective):
    """Goel et al., arXiv 2205.14459, and the authors' code.

    contrastive = ½[cross + ½(CE(s·I·I'ᵀ) + CE(s·T·T'ᵀ))], where I' and T' are the augmented views:
    one direction, the same temperature and no further head. The consistency terms take the views
    that are not augmented. View 0 of each modality is the plain one, view 1 the augmented one.

    Args:
        lambda_in_modal, lambda_cross_modal: See `CyclicConsistency`.
        init_scale, max_scale: See `ScaledObjective`.
    """

    needs = Needs(image_views=2, text_views=2)

    def __init__(
        self,
        lambda_in_modal: float = 0.25,
        lambda_cross_modal: float = 0.25,
        init_scale: float = 1 / 0.07,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        self.consistency = CyclicConsistency(lambda_in_modal, lambda_cross_modal)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → total and its unweighted terms."""
        image, augmented_image = embeddings.image[:2]
        text, augmented_text = embeddings.text[:2]
        cross = contrastive_loss(image, text, self.scale)
        image_views = info_nce(image, augmented_image, self.scale)
        text_views = info_nce(text, augmented_text, self.scale)
        contrastive = (cross + (image_views + text_views) / 2) / 2
        return {
            "contrastive": cross,
            "contrastive_image": image_views,
            "contrastive_text": text_views,
            **self.consistency(contrastive, [(image, text)]),
        }
