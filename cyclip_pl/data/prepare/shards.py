"""Tar shards with the same bytes every time, and clip_benchmark's folder layout."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl.data.prepare.folder import write_json
from cyclip_pl.data.prepare.writer import Sample, add_sample
from cyclip_pl.layout import CLASSNAMES, DATASET_TYPE, NSHARDS, TEMPLATES

_SHARDS_OF_A_SPLIT = 4


def json_bytes(content: Any) -> bytes:
    """`content` as JSON with sorted keys."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def order(keys: Iterable[str], salt: str) -> list[str]:
    """A shuffle that depends on (salt, key) alone, the same in every version of Python."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"{salt}/{key}".encode()).digest())


def write_tar(path: Path, samples: Iterable[tuple[str, Sample]]) -> int:
    """One shard of (key, members), without times and users; returns the number of samples."""
    count = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            add_sample(tar, key, members)
            count += 1
    return count


def _deal(samples: Mapping[str, Sample], shards: int, salt: str) -> list[list[tuple[str, Sample]]]:
    """The samples, shuffled, in shards whose sizes differ by at most one; none is empty."""
    shuffled = [(key, samples[key]) for key in order(samples, salt)]
    return [shuffled[i::shards] for i in range(min(shards, len(shuffled)))]


def write_training_shards(
    folder: Path, samples: Mapping[str, Sample], shards: int, salt: str
) -> dict[str, int]:
    """Write `00000.tar`… and `sizes.json`; returns samples per shard."""
    folder.mkdir(parents=True)
    parts = enumerate(_deal(samples, shards, salt))
    sizes = {f"{i:05d}.tar": write_tar(folder / f"{i:05d}.tar", part) for i, part in parts}
    write_json(folder / "sizes.json", sizes)
    return sizes


def _write_split(split: Path, samples: Mapping[str, Sample], salt: str) -> int:
    split.mkdir(parents=True)
    parts = _deal(samples, _SHARDS_OF_A_SPLIT, salt)
    for number, part in enumerate(parts):
        write_tar(split / f"{number}.tar", part)
    write_lines(split / NSHARDS, [f"{len(parts)}"])
    return len(samples)


def write_classification_set(
    folder: Path,
    images: Mapping[str, bytes],
    labels: Mapping[str, str],
    classes: Sequence[str],
    templates: Sequence[str],
    salt: str = "",
) -> int:
    """A zero-shot set in clip_benchmark's layout; returns the number of samples.

    Args:
        images: PNG bytes by sample key.
        labels: Class name by sample key.
        classes: All class names; some may have no image.
        templates: Prompts, with `{c}` in place of the class name.
        salt: Of the shuffle.
    """
    assert all("{c}" in template for template in templates)
    count = write_labelled_split(folder / "test", images, labels, classes, salt)
    write_classification_files(folder, classes, templates)
    return count


def write_labelled_split(
    split: Path,
    images: Mapping[str, bytes],
    labels: Mapping[str, str],
    classes: Sequence[str],
    salt: str = "",
) -> int:
    """One split of a classification set; arguments and result as `write_classification_set`."""
    assert len(set(classes)) == len(classes), "class names are unique"
    index = {name: str(number).encode() for number, name in enumerate(classes)}
    samples = {key: {"png": png, "cls": index[labels[key]]} for key, png in images.items()}
    return _write_split(split, samples, salt)


def write_retrieval_set(
    folder: Path, images: Mapping[str, bytes], captions: Mapping[str, Sequence[str]], salt: str = ""
) -> int:
    """A retrieval set in clip_benchmark's layout: one caption per line of `txt`."""
    samples = {
        key: {"png": png, "txt": "\n".join(captions[key]).encode()} for key, png in images.items()
    }
    count = _write_split(folder / "test", samples, salt)
    write_retrieval_files(folder)
    return count


def write_classification_files(
    folder: Path, classes: Sequence[str], templates: Sequence[str]
) -> None:
    """Class names and prompts beside the splits of a set."""
    write_lines(folder / CLASSNAMES, classes)
    write_lines(folder / TEMPLATES, templates)


def write_retrieval_files(folder: Path) -> None:
    """What says that a set has captions."""
    write_lines(folder / DATASET_TYPE, ["retrieval"])


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """A text file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
