"""How close each image is to its text."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double


class Alignment(ExactSums):
    """The mean of one number per image."""

    sums = {"term": 0}

    def compute(self) -> Tensor:
        return self.scalar(self.mean("term"))


class LabelAlignment(Alignment):
    """mean_i <I_i, T_y(i)> of unit-norm rows, higher is closer (CyCLIP, arXiv 2205.14459).

    T_y(i) is the embedding of the image's class.

        alignment = LabelAlignment()
        alignment.update(image_ND, class_KD[label_N])
        self.log("val/alignment", alignment)
    """

    higher_is_better = True

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add images, (N, D), and the embeddings of their classes, (N, D)."""
        self.add("term", (as_double(image_ND) * as_double(text_ND)).sum(1), len(image_ND))


class CaptionAlignment(Alignment):
    """mean_i |I_i - T_i|^2, lower is closer.

    Wang and Isola's alignment (arXiv 2005.10242) with the modalities as the two views.

        alignment = CaptionAlignment()
        alignment.update(image_ND, text_ND)
        self.log("val/alignment", alignment)
    """

    higher_is_better = False

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add images, (N, D), and their captions, (N, D)."""
        term_N = (as_double(image_ND) - as_double(text_ND)).square().sum(1)
        self.add("term", term_N, len(image_ND))
