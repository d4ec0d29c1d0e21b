"""Open a set of images, whatever it is kept in."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV, is_labels_folder
from cyclip_pl.evaluation.sets.names import set_name
from cyclip_pl.evaluation.sets.remote import DOWNLOADS, is_remote, local_copy
from cyclip_pl.evaluation.sets.torchvision_set import TorchvisionSet

ROOT = "data/torchvision"


def open_labelled(
    spec: str | Path,
    split: str = "test",
    name: str | None = None,
    root: str | Path = ROOT,
    downloads: str | Path = DOWNLOADS,
    download: bool = True,
) -> LabelledSet:
    """The set of labelled images that `spec` means.

    Args:
        spec: A name of `catalogue.yaml` (`cifar10`, `imagenet_sketch`, …), a URL or a list of
            shards (see `remote`), or a folder: one with `labels.csv` (see `labels_csv`), or one in
            clip_benchmark's WebDataset layout. A folder called like a set of the table is
            `./cifar10`.
        split: `train`, `test`, or another that the set has.
        name: What figures call it, `set_name(spec)` if None.
        root: Where torchvision's files lie.
        downloads: Where sets behind URLs are kept.
        download: Fetch what is not here yet.

    Raises:
        NoSplit: The set has no such split.
        ValueError: One line that names the set or the file at fault.
    """
    name = name or set_name(spec)
    text = str(spec)
    entry = entries().get(text)
    if entry is not None and entry.torchvision is not None:
        return TorchvisionSet(text, split, root, download, name)
    if entry is not None:
        assert entry.wds is not None
        text = entry.wds
    if is_remote(text):
        folder = local_copy(text, split, downloads, download)
        return ClassificationSet(folder, split, name, entry.metric if entry else "accuracy")
    folder = Path(spec).expanduser()
    if is_labels_folder(folder):
        return LabelsCSV(folder, split, name)
    if not folder.is_dir() and folder.name == text:
        close = get_close_matches(text, entries(), n=1)
        hint = f"; did you mean {close[0]}?" if close else f" ({', '.join(sorted(entries()))})"
        raise ValueError(f"{text} is no folder and no set that goes by name{hint}")
    return ClassificationSet(folder, split, name)


def open_captioned(
    spec: str | Path,
    split: str = "test",
    name: str | None = None,
    downloads: str | Path = DOWNLOADS,
    download: bool = True,
) -> CaptionSet:
    """The set of captioned images that `spec` means: a folder, a URL or a list of shards.

    Arguments and errors as for `open_labelled`.
    """
    name = name or set_name(spec)
    if is_remote(str(spec)):
        return CaptionSet(local_copy(str(spec), split, downloads, download, ()), split, name)
    return CaptionSet(Path(spec).expanduser(), split, name)
