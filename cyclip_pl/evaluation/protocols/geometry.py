"""The geometry of the two modalities: how close true pairs are, how the rest is spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.evaluation.features.rows import double_device
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.metrics.alignment import (
    caption_alignment,
    caption_uniformity,
    label_alignment,
    label_uniformity,
)
from cyclip_pl.metrics.modalities import effective_rank, inconsistency, modality_gap
from cyclip_pl.metrics.projections import joint_pca, similarity_histograms

_POINTS = 500  # of each modality, in the details


def labelled_geometry(image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> dict[str, float]:
    """The figures of a labelled set, by name; arguments as for `label_alignment`.

    The text side is the class embedding of each image.
    """
    return {
        "alignment": label_alignment(image_ND, class_KD, label_N),
        "uniformity": label_uniformity(image_ND, class_KD, label_N),
        **_of_modalities(image_ND, class_KD[label_N]),
    }


def captioned_geometry(image_ND: Tensor, text_ND: Tensor) -> dict[str, float]:
    """The figures of pairs of an image and its caption, by name."""
    return {
        "alignment": caption_alignment(image_ND, text_ND),
        "uniformity": caption_uniformity(image_ND, text_ND),
        **_of_modalities(image_ND, text_ND),
    }


def _of_modalities(image_ND: Tensor, text_ND: Tensor) -> dict[str, float]:
    in_modal, cross_modal = inconsistency(image_ND, text_ND)
    return {
        "modality_gap": modality_gap(image_ND, text_ND),
        "in_modal_inconsistency": in_modal,
        "cross_modal_inconsistency": cross_modal,
        "image_effective_rank": effective_rank(image_ND),
        "text_effective_rank": effective_rank(text_ND),
    }


class Geometry:
    """Alignment, uniformity, gap, inconsistency and effective rank of the modalities.

    Figures of a labelled set are `labelled_geometry`'s, of a set of captioned images
    `captioned_geometry`'s, with the first caption of each image; the set is one batch. Then
    `samples`, the images that could be decoded, on which the inconsistencies depend. A set with
    fewer than two gives no figures. Details, for plots: histograms of the similarities of true and
    of other pairs, and the two main axes of both modalities, for the first images and texts.

    Args:
        datasets: Labelled and captioned sets, or names with sets.
        split: The split to look at.
        templates: Prompts of the labelled sets, see `PromptSource`.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = False

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        templates: str | Sequence[str] | Mapping[str, Any] | None = None,
        name: str = "geometry",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        own = f"evaluation.{name}"
        self.specs = named_sets(datasets, f"{own}.datasets")
        self.split = split
        self.templates = PromptSource(templates, f"{own}.templates")
        self._sets: list[LabelledSet | CaptionSet] | None = None

    def open(self) -> None:
        """Read the names, labels, captions and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        own = f"evaluation.{self.name}"
        sets = self.library.any_kind(self.specs, self.split, f"{own}.datasets")
        for dataset in sets:
            if not isinstance(dataset, CaptionSet):
                self.templates.prompts(dataset)
        self._sets = sets

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        device = double_device(store)
        for dataset in self._sets:
            if isinstance(dataset, CaptionSet):
                images = store.images(dataset)
                captions = [dataset.captions[index][0] for index in images.index_N.tolist()]
                image_ND = images.embedding_ND.to(device)
                text_ND = store.texts(captions).to(device)
                figures = captioned_geometry(image_ND, text_ND) if len(images) > 1 else {}
                pair_N = torch.arange(len(images), device=device)
                self._add(results, dataset.name, figures, image_ND, text_ND, pair_N, pair_N)
                continue
            classifier = store.classifier(dataset.classnames, self.templates.prompts(dataset))
            class_KD = classifier.name_UD[classifier.column_K].to(device)
            images = store.images(dataset)
            image_ND, label_N = (
                images.embedding_ND.to(device),
                images.label_N.to(device),
            )
            figures = labelled_geometry(image_ND, class_KD, label_N) if len(images) > 1 else {}
            group_K = classifier.column_K.to(device)
            self._add(results, dataset.name, figures, image_ND, class_KD, group_K[label_N], group_K)
        return results

    def _add(
        self,
        results: Results,
        dataset: str,
        figures: Mapping[str, float],
        image_ND: Tensor,
        text_MD: Tensor,
        image_group_N: Tensor,
        text_group_M: Tensor,
    ) -> None:
        true_B, other_B = similarity_histograms(image_ND, text_MD, image_group_N, text_group_M)
        details: dict[str, Any] = {
            "protocol": {"split": self.split, "templates": self.templates.title},
            "similarity": {
                "low": -1,
                "high": 1,
                "true": true_B.tolist(),
                "other": other_B.tolist(),
            },
        }
        if bool(image_ND.isfinite().all()) and bool(text_MD.isfinite().all()):
            image_N2, text_M2, share_2 = joint_pca(image_ND, text_MD)
            details["pca"] = {
                "variance": share_2.tolist(),
                "image": image_N2[:_POINTS].tolist(),
                "text": text_M2[:_POINTS].tolist(),
            }
        results.add(dataset, self.name, {**figures, "samples": len(image_ND)}, details)
