"""The geometry of the two modalities: how close true pairs are, how the rest is spread."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.examples import cut, spread
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.alignment import CaptionAlignment, LabelAlignment
from cyclip_pl.metrics.effective_rank import EffectiveRank
from cyclip_pl.metrics.inconsistency import Inconsistency
from cyclip_pl.metrics.modality_gap import ModalityGap
from cyclip_pl.metrics.projections import JointPCA, SimilarityHistogram, project
from cyclip_pl.metrics.uniformity import CaptionUniformity, LabelUniformity

logger = logging.getLogger(__name__)

_POINTS = 500  # of each modality, in the details
_PAIRS = 24  # in the matrix of similarities
_WIDEST = 4096  # of a matrix of products: with that, some 4 GB in all


class Geometry(Protocol[LabelledSet | CaptionSet]):
    """Alignment, uniformity, gap, inconsistency and effective rank of the modalities.

    The text of an image is its class embedding, or the first of its captions. Metrics of a set:
    `alignment` and `uniformity`, those of labels or of captions; `modality_gap`, the
    inconsistencies (the set is one batch), `image_effective_rank` and `text_effective_rank`;
    `samples`, the images that could be decoded. A set with fewer than two has no other metrics.
    Inconsistencies, effective ranks and the main axes need at most 4,096 dimensions, or at most as
    many images and texts; a set with more of both goes without, and a warning says so.
    Details, for plots: histograms of the similarities of true and of other pairs, the two main axes
    of both modalities for the first images and texts, and the similarities of a few pairs.

    Args:
        datasets: Labelled sets and sets of captioned images, or names with sets.
        split: The split to look at.
        templates: Prompts of the labelled sets, see `PromptSource`.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        templates: Prompts = None,
        name: str = "geometry",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        self.specs = named_sets(datasets, self.setting("datasets"))

    def _open(self) -> list[LabelledSet | CaptionSet]:
        sets = self.library.any_kind(self.specs, self.split, self.setting("datasets"))
        for dataset in sets:
            if not isinstance(dataset, CaptionSet):
                self.templates.prompts(dataset)
        return sets

    def _add(
        self, results: Results, dataset: LabelledSet | CaptionSet, store: FeatureStore
    ) -> None:
        images, device = store.images(dataset), store.double_device
        alignment: Metric
        uniformity: Metric
        # All texts, which of them is an image's, and groups of texts that are equally true.
        if isinstance(dataset, CaptionSet):
            index_N = images.whole(images.rows.index_n)
            text_MD = store.texts([dataset.captions[i][0] for i in index_N.tolist()]).to(device)
            text_n = torch.searchsorted(index_N, images.rows.index_n)
            group_M = torch.arange(len(text_MD), device=device)
            alignment, uniformity = CaptionAlignment(), CaptionUniformity()
        else:
            classifier = self.classifier(dataset, store)
            text_MD, group_M = classifier.class_KD.to(device), classifier.column_K.to(device)
            text_n = images.rows.label_n
            alignment, uniformity = LabelAlignment(), LabelUniformity(len(text_MD))
        gap, similarity = ModalityGap(text_MD.shape[1]), SimilarityHistogram()
        for metric in (alignment, gap, uniformity, similarity):
            metric.to(device)
        for block, of_image in zip(images.blocks, images.by_block(text_n), strict=True):
            image_nD, text_nD = block.embedding_nD.to(device), text_MD[of_image]
            alignment.update(image_nD, text_nD)
            gap.update(image_nD, text_nD)
            uniformity.update(image_nD, text_MD, of_image.to(device))
            similarity.update(image_nD, text_MD, group_M[of_image], group_M)
        metrics = {
            "alignment": alignment.compute(),
            "uniformity": uniformity.compute(),
            "modality_gap": gap.compute(),
        }
        counts = {name: count_B.tolist() for name, count_B in similarity.compute().items()}
        details: dict[str, Any] = {
            "protocol": {"split": self.split, "templates": self.templates.title},
            "similarity": {"low": -1, "high": 1, **counts},
        }
        if min(text_MD.shape[1], images.total + len(text_MD)) > _WIDEST:
            logger.warning(
                "%s: no inconsistency, effective rank or PCA: both its %d images and texts and "
                "their %d dimensions are more than %d",
                dataset.name, images.total + len(text_MD), text_MD.shape[1], _WIDEST,
            )  # fmt: skip
        else:
            more, pca = _second_moments(images, text_MD, text_n, device)
            metrics |= more
            if pca is not None:
                details["pca"] = pca
        if (matrix := _matrix(dataset, images, text_MD.cpu(), images.whole(text_n))) is not None:
            details["matrix"] = matrix
        results.add(
            dataset.name,
            self.name,
            {**(metrics if images.total > 1 else {}), "samples": images.total},
            details,
        )


def _second_moments(
    images: EncodedImages, text_MD: Tensor, text_n: Tensor, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The metrics of products of rows, and the PCA; None where a row is not finite."""
    image_blocks, text_MR = _fewest_dimensions(images, text_MD, device)
    width = text_MR.shape[1]
    inconsistency, pca = Inconsistency(width), JointPCA(width)
    image_rank, text_rank = EffectiveRank(width), EffectiveRank(width)
    for metric in (inconsistency, pca, image_rank, text_rank):
        metric.to(device)
    if rank() == 0:
        pca.update(text_MR[:0], text_MR)  # each text once over all ranks
    for image_nR, of_image in zip(image_blocks, images.by_block(text_n), strict=True):
        inconsistency.update(image_nR, text_MR[of_image])
        image_rank.update(image_nR)
        text_rank.update(text_MR[of_image])
        pca.update(image_nR, text_MR[:0])
    metrics = {
        **inconsistency.compute(),
        "image_effective_rank": image_rank.compute(),
        "text_effective_rank": text_rank.compute(),
    }
    axes = pca.compute()
    if not axes["axes"].isfinite().all():
        return metrics, None
    image_n2 = torch.cat([project(image_nR, axes) for image_nR in image_blocks])
    return metrics, {
        "variance": axes["share"].tolist(),
        "image": images.whole(image_n2)[:_POINTS].tolist(),
        "text": project(text_MR[:_POINTS], axes).tolist(),
    }


def _fewest_dimensions(
    images: EncodedImages, text_MD: Tensor, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """This rank's blocks of images and the texts, with the same inner products.

    As they are, or, if there are fewer than D rows, as float64 coordinates in the space that all
    of them span: nCLIP's rows have a dimension per cluster.
    """
    rows = images.total + len(text_MD)
    if rows >= text_MD.shape[1]:
        return [block.embedding_nD.to(device) for block in images.blocks], text_MD
    image_ND = images.whole(images.rows.embedding_nD).to(device)
    # With Xᵀ = QR, Q orthonormal, X = RᵀQᵀ: the rows of Rᵀ are the coordinates of X's.
    row_PP = torch.linalg.qr(torch.cat([image_ND, text_MD]).double().T, mode="r").R.T
    place_n = torch.searchsorted(images.whole(images.rows.index_n), images.rows.index_n)
    return list(images.by_block(row_PP[place_n.to(device)])), row_PP[images.total :]


def _matrix(
    dataset: LabelledSet | CaptionSet, images: EncodedImages, text_MD: Tensor, text_N: Tensor
) -> dict[str, Any] | None:
    """Cosines of a few images, one per text, with their texts; None if one is not finite.

    Args:
        text_N: The row of each image's text in `text_MD`, all images in the set's order.
    """
    index_N = images.whole(images.rows.index_n)
    first: dict[int, int] = {}
    for place, text in enumerate(text_N.tolist()):
        first.setdefault(text, place)
    texts = sorted(first)
    shown = sorted((texts[n] for n in spread(len(texts), _PAIRS)), key=first.__getitem__)
    index_p = index_N[[first[text] for text in shown]]
    image_pD = images.chosen(index_p, images.rows.embedding_nD)
    cosine_pp = image_pD.double() @ text_MD[shown].double().T
    if not cosine_pp.isfinite().all():
        return None
    if isinstance(dataset, CaptionSet):
        names = [dataset.captions[i][0] for i in index_p.tolist()]
    else:
        names = [dataset.classnames[text] for text in shown]
    rounded = [[round(x, 4) for x in row] for row in cosine_pp.tolist()]
    return {"texts": [cut(name) for name in names], "cosine": rounded}
