"""Open a set of images, wherever and in whatever form it is kept."""

from __future__ import annotations

from pathlib import Path

from cyclip_pl import checks
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import LabelledSet, Unusable
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV, is_labels_folder
from cyclip_pl.evaluation.sets.remote import DOWNLOADS, is_remote, local_copy
from cyclip_pl.evaluation.sets.setting import set_name
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
    """Open a set of captioned images: a folder, a URL or a list of shards.

    Arguments and errors as for `open_labelled`.
    """
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
        known = f" ({', '.join(sorted(entries()))})"
        hint = checks.did_you_mean(spec, entries()) or known
        raise ValueError(f"{spec} is neither a folder nor a set of the catalogue{hint}")
    return folder
