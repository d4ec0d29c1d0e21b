"""Tar shards with the same bytes every time, and clip_benchmark's folder layout."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl.data.prepare.folder import write_json
from cyclip_pl.layout import CLASSNAMES, DATASET_TYPE, NSHARDS, TEMPLATES

Sample = Mapping[str, bytes]
"""Members by extension: {"png": ..., "txt": ...}."""


def json_bytes(content: Any) -> bytes:
    """`content` as JSON with sorted keys."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def order(keys: Iterable[str], salt: str) -> list[str]:
    """A shuffle that depends on (salt, key) alone, the same in every version of Python."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"{salt}/{key}".encode()).digest())


def _add(tar: tarfile.TarFile, key: str, members: Sample) -> None:
    """Members `<key>.<extension>` of a sample, side by side, without times and users."""
    assert "." not in key, f"{key}: readers take the extension from the first dot"
    for extension, content in members.items():
        member = tarfile.TarInfo(f"{key}.{extension}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def write_tar(path: Path, samples: Mapping[str, Sample]) -> None:
    """One shard."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples.items():
            _add(tar, key, members)


class ShardWriter:
    """`00000.tar`, `00001.tar`… of `shard_size` samples each; the last has the rest.

    A context manager. `sizes` holds the number of samples of each shard by file name.
    """

    def __init__(self, folder: Path, shard_size: int) -> None:
        self.sizes: dict[str, int] = {}
        self._folder, self._shard_size = folder, shard_size
        self._tar: tarfile.TarFile | None = None
        self._name = ""

    def add(self, key: str, members: Sample) -> None:
        if self._tar is None or self.sizes[self._name] == self._shard_size:
            self._close()
            self._name = f"{len(self.sizes):05d}.tar"
            self.sizes[self._name] = 0
            path = self._folder / self._name
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        _add(self._tar, key, members)
        self.sizes[self._name] += 1

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _deal(samples: Mapping[str, Sample], shards: int, salt: str) -> list[dict[str, Sample]]:
    """The samples, shuffled, in shards whose sizes differ by at most one."""
    shuffled = order(samples, salt)
    return [{key: samples[key] for key in shuffled[i::shards]} for i in range(shards)]


def write_training_shards(
    folder: Path, samples: Mapping[str, Sample], shards: int, salt: str
) -> dict[str, int]:
    """Write `00000.tar`… and `sizes.json`; returns samples per shard."""
    folder.mkdir(parents=True)
    sizes = {}
    for number, part in enumerate(_deal(samples, shards, salt)):
        write_tar(folder / f"{number:05d}.tar", part)
        sizes[f"{number:05d}.tar"] = len(part)
    write_json(folder / "sizes.json", sizes)
    return sizes


def _write_split(split: Path, samples: Mapping[str, Sample], shards: int, salt: str) -> None:
    split.mkdir(parents=True)
    parts = [part for part in _deal(samples, shards, salt) if part]
    for number, part in enumerate(parts):
        write_tar(split / f"{number}.tar", part)
    (split / NSHARDS).write_text(f"{len(parts)}\n", encoding="utf-8")


def write_classification_set(
    folder: Path,
    images: Mapping[str, bytes],
    labels: Mapping[str, str],
    classes: Sequence[str],
    templates: Sequence[str],
    shards: int = 4,
    salt: str = "",
) -> int:
    """A zero-shot set in clip_benchmark's layout.

    Args:
        images: PNG bytes by sample key.
        labels: Class name by sample key.
        classes: All class names; some may have no image.
        templates: Prompts, with `{c}` in place of the class name.
        shards: Their number.
        salt: Of the shuffle.

    Returns:
        The number of samples.
    """
    assert all("{c}" in template for template in templates)
    count = write_labelled_split(folder / "test", images, labels, classes, shards, salt)
    _write_lines(folder / CLASSNAMES, classes)
    _write_lines(folder / TEMPLATES, templates)
    return count


def write_labelled_split(
    split: Path,
    images: Mapping[str, bytes],
    labels: Mapping[str, str],
    classes: Sequence[str],
    shards: int = 4,
    salt: str = "",
) -> int:
    """One split of a classification set; arguments and result as `write_classification_set`."""
    assert len(set(classes)) == len(classes), "class names are unique"
    index = {name: number for number, name in enumerate(classes)}
    samples = {
        key: {"png": png, "cls": str(index[labels[key]]).encode()} for key, png in images.items()
    }
    _write_split(split, samples, shards, salt)
    return len(samples)


def write_retrieval_set(
    folder: Path,
    images: Mapping[str, bytes],
    captions: Mapping[str, Sequence[str]],
    shards: int = 4,
    salt: str = "",
) -> int:
    """A retrieval set in clip_benchmark's layout: one caption per line of `txt`."""
    samples = {
        key: {"png": png, "txt": "\n".join(captions[key]).encode()} for key, png in images.items()
    }
    _write_split(folder / "test", samples, shards, salt)
    _write_lines(folder / DATASET_TYPE, ["retrieval"])
    return len(samples)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
