"""Where evaluations get their sets from, wherever and in whatever form these are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from cyclip_pl.checks import did_you_mean
from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import LabelledSet, NoneUsable, NoSplit, Unusable
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV, is_labels_folder
from cyclip_pl.evaluation.sets.remote import DOWNLOADS, is_remote, local_copy
from cyclip_pl.evaluation.sets.setting import Sets, named_sets, set_name
from cyclip_pl.evaluation.sets.torchvision_set import ROOT, TorchvisionSet

logger = logging.getLogger(__name__)

T = TypeVar("T")


def open_labelled(
    spec: str | Path,
    split: str = "test",
    name: str | None = None,
    root: str | Path = ROOT,
    downloads: str | Path = DOWNLOADS,
    download: bool = True,
) -> LabelledSet:
    """Open a set of labelled images.

    Args:
        spec: A name of `catalogue.yaml` (`cifar10`, `imagenet_sketch`, …); a URL or a list of
            shards, see `remote`; a folder with `labels.csv`, see `labels_csv`; or a folder in
            clip_benchmark's layout. A folder with the name of a set in the catalogue is
            `./cifar10`.
        split: `train`, `test`, or another that the set has.
        name: The first part of its metrics' keys; `set_name(spec)` if None.
        root: The folder of torchvision's files.
        downloads: The folder for sets behind URLs.
        download: Fetch a set that is not there yet.

    Raises:
        Unusable: It has no such split, or no classes.
        ValueError: One line that names the set or the file at fault.
    """
    name = name or set_name(spec)
    entry = entries().get(str(spec))
    if entry is not None and entry.torchvision is not None:
        return TorchvisionSet(str(spec), split, root, download, name)
    folder = _folder(entry.wds or "" if entry else str(spec), split, downloads, download)
    if is_labels_folder(folder):
        return LabelsCSV(folder, split, name)
    return ClassificationSet(folder, split, name, entry.metric if entry else "acc1")


def open_captioned(
    spec: str | Path,
    split: str = "test",
    name: str | None = None,
    downloads: str | Path = DOWNLOADS,
    download: bool = True,
) -> CaptionSet:
    """Open a set of captioned images: a folder, a URL or a list of shards; as `open_labelled`."""
    if str(spec) in entries():
        raise Unusable(f"{spec} has no captions: it is a classification set")
    folder = _folder(str(spec), split, downloads, download)
    if is_labels_folder(folder):
        raise Unusable(f"{folder} has no captions: it has labels")
    return CaptionSet(folder, split, name or set_name(spec))


def _folder(spec: str, split: str, downloads: str | Path, download: bool) -> Path:
    if is_remote(spec):
        return local_copy(spec, split, downloads, download)
    folder = Path(spec).expanduser()
    if not folder.is_dir() and folder.name == spec:
        hint = did_you_mean(spec, entries()) or f" ({', '.join(sorted(entries()))})"
        raise ValueError(f"{spec} is neither a folder nor a set of the catalogue{hint}")
    return folder


@dataclass(frozen=True)
class TrainTest:
    """Splits of one set, with the same classes."""

    train: LabelledSet
    test: LabelledSet
    val: LabelledSet | None = None


class Library:
    """Opens the sets that evaluations name, each once, however many look at it.

    All evaluations look at `datasets`, each at those that it can use: a set that it cannot use
    (`Unusable`) is skipped with a warning. Any other list belongs to one evaluation, which must be
    able to use every set in it.

    Its methods take `sets`, specifications by name as `named_sets` returns them, and `setting`, the
    setting that lists them (`evaluation.<name>.datasets`), for messages.

    Args:
        root, downloads, download: As for `open_labelled`.
        datasets: The setting `evaluation.datasets`; None if it is not set.

    Raises:
        NoneUsable: No set of `datasets` is left.
        ValueError: One line that names the setting and the file.
    """

    def __init__(
        self,
        root: str | Path = ROOT,
        downloads: str | Path = DOWNLOADS,
        download: bool = True,
        datasets: Sets | None = None,
    ) -> None:
        self.shared = {} if datasets is None else named_sets(datasets, "evaluation.datasets")
        captioned = partial(open_captioned, downloads=downloads, download=download)
        labelled = partial(open_labelled, root=root, downloads=downloads, download=download)
        self._captioned, self._labelled = cache(captioned), cache(labelled)

    def labelled(
        self,
        sets: Mapping[str, str],
        split: str,
        setting: str,
        check: Callable[[LabelledSet], None] | None = None,
    ) -> list[LabelledSet]:
        """Open one split of each set of labelled images.

        `check` raises `Unusable` for a set that the evaluation cannot use for another reason.
        """

        def opened(name: str, spec: str) -> LabelledSet:
            found = self._labelled(spec, split, name)
            if check is not None:
                check(found)
            return found

        return self._each(sets, setting, opened)

    def captioned(self, sets: Mapping[str, str], split: str, setting: str) -> list[CaptionSet]:
        """Open one split of each set of captioned images."""
        return self._each(sets, setting, lambda name, spec: self._captioned(spec, split, name))

    def any_kind(
        self, sets: Mapping[str, str], split: str, setting: str
    ) -> list[LabelledSet | CaptionSet]:
        """Open one split of each set, whatever its kind."""

        def opened(name: str, spec: str) -> LabelledSet | CaptionSet:
            try:
                return self._captioned(spec, split, name)
            except NoSplit:
                raise
            except Unusable:
                return self._labelled(spec, split, name)

        return self._each(sets, setting, opened)

    def splits(
        self,
        sets: Mapping[str, str],
        train_split: str,
        split: str,
        setting: str,
        val_split: str | None = None,
    ) -> list[TrainTest]:
        """Open two splits of each set of labelled images, and a third where the set has it."""

        def beside(test: LabelledSet, spec: str, split: str) -> LabelledSet:
            other = self._labelled(spec, split, test.name)
            if other.classnames != test.classnames:
                raise ValueError(
                    f"{spec}: the split {split!r} has other classes than the test images"
                )
            return other

        def opened(name: str, spec: str) -> TrainTest:
            test = self._labelled(spec, split, name)
            train = beside(test, spec, train_split)
            if val_split is not None:
                with suppress(NoSplit):
                    val = beside(test, spec, val_split)
                    # A folder that is itself one split answers to several names.
                    if val.fingerprint not in (train.fingerprint, test.fingerprint):
                        return TrainTest(train, test, val)
            return TrainTest(train, test)

        return self._each(sets, setting, opened)

    def _each(
        self, sets: Mapping[str, str], setting: str, opened: Callable[[str, str], T]
    ) -> list[T]:
        evaluation = setting.rpartition(".")[0]
        shared = sets.items() <= self.shared.items()
        found: list[T] = []
        skipped: list[str] = []
        told: list[str] = []
        for name, spec in sets.items():
            try:
                found.append(opened(name, spec))
            except ValueError as error:
                if not shared or not isinstance(error, Unusable):
                    raise ValueError(f"{setting}: {error}") from error
                skipped.append(str(error))
                told.append(f"{evaluation} skips {name}: {error}")
        if skipped and not found:
            raise NoneUsable(
                f"evaluation.datasets: {evaluation} can use none of these sets "
                f"({'; '.join(skipped)}); add one that it can use, set {setting}, or choose other "
                "evaluations, evaluation=[…]"
            )
        if rank() == 0:
            for line in told:
                logger.warning(line)
        return found
