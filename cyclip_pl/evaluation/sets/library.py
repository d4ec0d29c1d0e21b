"""Where evaluations get their sets from: each is opened once, however many look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.image_shards import NoSplit
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.open import ROOT, open_captioned, open_labelled
from cyclip_pl.evaluation.sets.remote import DOWNLOADS

T = TypeVar("T")


@dataclass(frozen=True)
class Splits:
    """Splits of one set; their classes are the same."""

    train: LabelledSet
    test: LabelledSet
    val: LabelledSet | None = None


class Library:
    """Opens the sets that evaluations name, and remembers them.

    What a set costs to open, and to hash for the `FeatureStore`, is paid once for all evaluations.

    Args:
        root: The folder of torchvision's files.
        downloads: The folder where sets behind URLs are kept.
        download: Fetch what is not there yet.
    """

    def __init__(
        self, root: str | Path = ROOT, downloads: str | Path = DOWNLOADS, download: bool = True
    ) -> None:
        self.root = root
        self.downloads = downloads
        self.download = download
        self._labelled: dict[tuple[str, str, str], LabelledSet] = {}
        self._captioned: dict[tuple[str, str, str], CaptionSet] = {}

    def labelled(self, sets: Mapping[str, str], split: str, setting: str) -> list[LabelledSet]:
        """A split of each set; `sets` as from `named_sets`.

        Raises:
            ValueError: One line that names `setting` and the file.
        """
        return _each(sets, setting, lambda name, spec: self._open(name, spec, split))

    def splits(
        self,
        sets: Mapping[str, str],
        train_split: str,
        split: str,
        setting: str,
        val_split: str | None = None,
    ) -> list[Splits]:
        """Two splits of each set, and a third where it has it.

        Raises:
            ValueError: One line that names `setting` and the file.
        """

        def opened(name: str, spec: str) -> Splits:
            test = self._open(name, spec, split)
            train = self._beside(test, spec, train_split)
            if val_split is None:
                return Splits(train, test)
            try:
                val = self._beside(test, spec, val_split)
            except NoSplit:
                return Splits(train, test)
            # A folder that is itself one split answers to several names.
            again = {train.fingerprint, test.fingerprint}
            return Splits(train, test, None if val.fingerprint in again else val)

        return _each(sets, setting, opened)

    def captioned(self, sets: Mapping[str, str], split: str, setting: str) -> list[CaptionSet]:
        """A split of each set of captioned images.

        Raises:
            ValueError: One line that names `setting` and the file.
        """

        def opened(name: str, spec: str) -> CaptionSet:
            key = name, spec, split
            if key not in self._captioned:
                self._captioned[key] = open_captioned(
                    spec, split, name, self.downloads, self.download
                )
            return self._captioned[key]

        return _each(sets, setting, opened)

    def _beside(self, test: LabelledSet, spec: str, split: str) -> LabelledSet:
        other = self._open(test.name, spec, split)
        if other.classnames != test.classnames:
            raise ValueError(f"{spec}: the split {split!r} has other classes than the test images")
        return other

    def _open(self, name: str, spec: str, split: str) -> LabelledSet:
        key = name, spec, split
        if key not in self._labelled:
            self._labelled[key] = open_labelled(
                spec, split, name, self.root, self.downloads, self.download
            )
        return self._labelled[key]


def _each(sets: Mapping[str, str], setting: str, opened: Callable[[str, str], T]) -> list[T]:
    try:
        return [opened(name, spec) for name, spec in sets.items()]
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error
