"""CyCLIP with an augmented view of each modality: the authors' `--inmodal` variant."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.info_nce import info_nce
from cyclip_pl.objectives.base import caption_ids_of
from cyclip_pl.objectives.cyclip import CyCLIP
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class CyCLIPAugmented(CyCLIP):
    """Goel et al., arXiv 2205.14459, and the authors' code.

    contrastive = ½[cross + ½(CE(s·I·I'ᵀ) + CE(s·T·T'ᵀ))], where I' and T' are the augmented views:
    one direction, the same temperature and no further head. The consistency terms take the views
    that are not augmented. View 0 of each modality is the plain one, view 1 the augmented one.
    Arguments are `CyCLIP`'s.
    """

    needs = Needs(image_views=2, text_views=2)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → total and its unweighted terms."""
        image, augmented_image = embeddings.image[:2]
        text, augmented_text = embeddings.text[:2]
        ids = caption_ids_of(embeddings, self.mask_equal_captions)
        cross = contrastive_loss(image, text, self.scale, caption_ids=ids)
        image_views = info_nce(image, augmented_image, self.scale, caption_ids=ids)
        text_views = info_nce(text, augmented_text, self.scale, caption_ids=ids)
        contrastive = (cross + (image_views + text_views) / 2) / 2
        return {
            "contrastive": cross,
            "contrastive_image": image_views,
            "contrastive_text": text_views,
            **self.consistency(contrastive, [(image, text)]),
        }
