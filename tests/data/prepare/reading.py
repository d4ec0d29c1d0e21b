"""Reads prepared folders with the standard library alone, unlike the code under test."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def read_tars(paths: Iterable[Path]) -> dict[str, dict[str, bytes]]:
    """Members by extension, by sample key, in the order of the tars."""
    samples: dict[str, dict[str, bytes]] = {}
    for path in paths:
        seen: set[str] = set()
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".")
                if key not in seen:
                    assert key not in samples, f"{key} is in two shards, or not side by side"
                    seen.add(key)
                    last = key
                assert key == last, f"the members of {key} are not side by side"
                file = tar.extractfile(member)
                assert file is not None
                samples.setdefault(key, {})[extension] = file.read()
    return samples


def read_set(folder: Path) -> dict[str, dict[str, bytes]]:
    """A `clip_benchmark` set, by way of its nshards.txt."""
    shards = int((folder / "test" / "nshards.txt").read_text())
    return read_tars(folder / "test" / f"{number}.tar" for number in range(shards))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def array(image: bytes) -> np.ndarray:
    """(H, W, 3) uint8."""
    with Image.open(io.BytesIO(image)) as opened:
        return np.asarray(opened.convert("RGB"))


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
