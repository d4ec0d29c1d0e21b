"""Fine- and coarse-grained accuracy over classes grouped into superclasses.

As in CyCLIP (arXiv 2205.14459): which level of the hierarchy do the errors come from?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.blocks import Rows
from cyclip_pl.evaluation.features.examples import hits
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.hierarchies.read import SHIPPED, read_hierarchy
from cyclip_pl.evaluation.sets.interface import LabelledSet, Unusable
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.layout import HIERARCHY
from cyclip_pl.metrics.hierarchy import HierarchyAccuracy, coarse_ranks, fine_ranks


class Hierarchy(Protocol[tuple[LabelledSet, Tensor]]):
    """Fine- and coarse-grained zero-shot accuracy.

    Metrics of a set: those of `HierarchyAccuracy`; `samples`, the images that could be decoded,
    and `superclasses`.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        hierarchy: A file or the name of a shipped one, see `read_hierarchy`; or such by set. Sets
            for which none is given have their own.
        level: The level of it that groups the classes, 0 the coarsest.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        top_k: The k's of the accuracies.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Sets,
        hierarchy: str | Mapping[str, str] | None = None,
        level: int = 0,
        split: str = "test",
        templates: Prompts = None,
        top_k: Sequence[int] = (1, 2, 3),
        name: str = "hierarchy",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        self.specs = named_sets(datasets, self.setting("datasets"))
        if unknown := hierarchy.keys() - self.specs if isinstance(hierarchy, Mapping) else None:
            raise ValueError(f"{self.setting('hierarchy')}: no set is called {min(unknown)}")
        self.hierarchy = hierarchy
        checks.whole(self.setting("level"), level, least=0)
        self.level = level
        self.top_k = checks.whole_numbers(self.setting("top_k"), top_k)

    def _open(self) -> list[tuple[LabelledSet, Tensor]]:
        sets = self.labelled(self.specs, "datasets", self._check)
        opened = []
        for dataset in sets:
            try:
                superclass_K, _ = read_hierarchy(
                    self._file(dataset), dataset.classnames, self.level
                )
            except ValueError as error:
                setting = self.setting("hierarchy")
                raise ValueError(f"{setting}: {dataset.name}: {error}") from error
            opened.append((dataset, superclass_K))
        return opened

    def _check(self, dataset: LabelledSet) -> None:
        self._file(dataset)

    def _file(self, dataset: LabelledSet) -> str | Path:
        given = self.hierarchy
        if isinstance(given, Mapping):
            given = given.get(dataset.name)
        if (file := given or dataset.hierarchy) is None:
            setting, shipped = self.setting("hierarchy"), ", ".join(SHIPPED)
            raise Unusable(
                f"{dataset.name} has no {HIERARCHY}; {setting} may be a file or one of {shipped}"
            )
        return file

    def _add(
        self, results: Results, dataset: tuple[LabelledSet, Tensor], store: FeatureStore
    ) -> None:
        labelled, superclass_K = dataset
        classifier = self.classifier(labelled, store)
        device = store.double_device
        superclass_K = superclass_K.to(device)
        accuracy = HierarchyAccuracy(superclass_K, self.top_k).to(device)
        fine, coarse = [], []

        def score(block: Rows) -> None:
            score_nK = classifier(block.embedding_nD.to(device))
            label_n = block.label_n.to(device)
            accuracy.update(score_nK, label_n)
            fine.append(fine_ranks(score_nK, label_n, superclass_K))
            coarse.append(coarse_ranks(score_nK, label_n, superclass_K))

        images = store.each_block(labelled, score)
        rank_n = {"fine": torch.cat(fine), "coarse": torch.cat(coarse)}
        right = {
            f"{level}_acc{k}": rank_n[level] < k
            for level, ks in (("fine", accuracy.fine_k), ("coarse", accuracy.coarse_k))
            for k in ks
        }
        results.add(
            labelled.name,
            self.name,
            {
                **accuracy.compute(),
                "samples": images.total,
                "superclasses": len(superclass_K.unique()),
            },
            {
                "protocol": self.protocol(
                    templates=self.templates.title,
                    hierarchy=Path(self._file(labelled)).name,
                    level=self.level,
                ),
                "hits": hits(labelled, images, right),
            },
            images.columns(labelled, fine_rank=rank_n["fine"], coarse_rank=rank_n["coarse"]),
        )
