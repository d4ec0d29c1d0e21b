"""Fine- and coarse-grained accuracy over classes grouped into superclasses.

As in CyCLIP (arXiv 2205.14459): which level of the hierarchy do the errors come from?

Shape legend: N images, K classes, S superclasses that have a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.hierarchies.read import SHIPPED, read_hierarchy
from cyclip_pl.evaluation.sets.interface import LabelledSet, Unusable
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.layout import HIERARCHY
from cyclip_pl.metrics.accuracy import chunks, rank_of_label
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals


def fine_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Where the true class stands among the classes of its superclass, 0 the best: int64, (N,).

    Image n is a hit of the fine-grained top-k accuracy, a plain (micro) average over images, if its
    rank is below k. In a superclass of at most k classes every image is therefore a hit. Of equal
    scores the lower class number comes first; a row that is not finite ranks last, at K.

    Args:
        score_NK: Scores of all classes.
        label_N: True classes, int64.
        superclass_K: The superclass of each class, int64.
    """
    outside_NK = superclass_K[label_N][:, None] != superclass_K
    within_NK = score_NK.masked_fill(outside_NK, torch.finfo(score_NK.dtype).min)
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(within_NK, label_N), score_NK.shape[1])


def coarse_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Where the true superclass stands, 0 the best: int64, (N,).

    A superclass scores the maximum over its classes. Superclass numbers without a class do not
    compete. Of equal scores the lower number comes first; a row that is not finite ranks last, at
    S. Arguments as for `fine_ranks`.
    """
    present_S, dense_K = superclass_K.unique(return_inverse=True)
    score_NS = score_NK.new_full((len(score_NK), len(present_S)), -torch.inf)
    score_NS.scatter_reduce_(1, dense_K.expand_as(score_NK), score_NK, "amax")
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(score_NS, dense_K[label_N]), len(present_S))


class Hierarchy:
    """Fine- and coarse-grained zero-shot accuracy.

    Figures of a set: `fine_top<k>`, see `fine_ranks`, and `coarse_top<k>`, see `coarse_ranks`, with
    the bounds `..._low` and `..._high` of `bootstrap`; `samples`, the images that could be decoded,
    and `superclasses`. A k is left out where it says nothing: of the coarse figures above the
    number of superclasses, of the fine ones where no superclass has more than k classes.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        hierarchy: A file or the name of a shipped one, see `read_hierarchy`; or such by set. Sets
            for which none is given have their own, or are left out, which the log says.
        level: The level of it that groups the classes, 0 the coarsest.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        top_k: The k's of the accuracies.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = False

    def __init__(
        self,
        datasets: Sets,
        hierarchy: str | Mapping[str, str] | None = None,
        level: int = 0,
        split: str = "test",
        templates: str | Sequence[str] | Mapping[str, Any] | None = None,
        top_k: Sequence[int] = (1, 2, 3),
        name: str = "hierarchy",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        if unknown := hierarchy.keys() - self.specs if isinstance(hierarchy, Mapping) else None:
            raise ValueError(f"evaluation.{name}.hierarchy: no set is called {min(unknown)}")
        self.hierarchy = hierarchy
        if type(level) is not int or level < 0:
            raise ValueError(
                f"evaluation.{name}.level must be 0, the coarsest, or more; got {level!r}"
            )
        self.level = level
        self.split = split
        self.templates = PromptSource(templates, f"evaluation.{name}.templates")
        self.top_k = checks.whole_numbers(f"evaluation.{name}.top_k", top_k)
        self._sets: list[tuple[LabelledSet, Tensor, str]] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, and the hierarchy, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        own = f"evaluation.{self.name}"
        sets = []
        for dataset in self.library.labelled(
            self.specs, self.split, f"{own}.datasets", self._needs_hierarchy
        ):
            self.templates.prompts(dataset)
            file = self._file(dataset)
            assert file is not None
            try:
                superclass_K, _ = read_hierarchy(file, dataset.classnames, self.level)
            except ValueError as error:
                raise ValueError(f"{own}.hierarchy: {dataset.name}: {error}") from error
            sets.append((dataset, superclass_K, Path(file).name))
        self._sets = sets

    def _needs_hierarchy(self, dataset: LabelledSet) -> None:
        if self._file(dataset) is None:
            raise Unusable(
                f"{dataset.name} has no {HIERARCHY}; evaluation.{self.name}.hierarchy may be a "
                f"file or one of {', '.join(SHIPPED)}"
            )

    def _file(self, dataset: LabelledSet) -> str | Path | None:
        given = self.hierarchy
        if isinstance(given, Mapping):
            given = given.get(dataset.name)
        return dataset.hierarchy if given is None else given

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for dataset, superclass_K, file in self._sets:
            self._add(results, dataset, superclass_K, file, store)
        return results

    def _add(
        self,
        results: Results,
        dataset: LabelledSet,
        superclass_K: Tensor,
        file: str,
        store: FeatureStore,
    ) -> None:
        images = store.images(dataset)
        classifier = store.classifier(dataset.classnames, self.templates.prompts(dataset))
        above_K = superclass_K.to(store.device)
        fine, coarse = [], []
        for rows in chunks(len(images), len(dataset.classnames)):
            score_NK = classifier(images.embedding_ND[rows].to(store.device))
            label_N = images.label_N[rows].to(store.device)
            fine.append(fine_ranks(score_NK, label_N, above_K).cpu())
            coarse.append(coarse_ranks(score_NK, label_N, above_K).cpu())
        fine_N, coarse_N = torch.cat(fine), torch.cat(coarse)
        classes_S = superclass_K.unique(return_counts=True)[1]
        hits = {
            **{f"fine_top{k}": fine_N < k for k in self.top_k if k < classes_S.max()},
            **{f"coarse_top{k}": coarse_N < k for k in self.top_k if k <= len(classes_S)},
        }
        results.add(
            dataset.name,
            self.name,
            figures={
                **with_intervals({n: h.double().mean().item() for n, h in hits.items()}, hits),
                "samples": len(images),
                "superclasses": len(classes_S),
            },
            details={
                "protocol": {
                    "split": self.split,
                    "templates": self.templates.title,
                    "hierarchy": file,
                    "level": self.level,
                    "interval": PROTOCOL,
                }
            },
            predictions={
                "index": images.index_N.tolist(),
                "key": [dataset.key(index) for index in images.index_N.tolist()],
                "label": images.label_N.tolist(),
                "fine_rank": fine_N.tolist(),
                "coarse_rank": coarse_N.tolist(),
            },
        )
