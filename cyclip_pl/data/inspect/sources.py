"""What the user names → the shards of training data, or the splits of an evaluation set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclip_pl.data.urls import expand, missing
from cyclip_pl.files import reason
from cyclip_pl.layout import CLASSNAMES, DATASET_TYPE, NSHARDS

TRAINING, CLASSIFICATION, RETRIEVAL = "training", "classification", "retrieval"


@dataclass(frozen=True)
class Part:
    """Shards of one kind.

    Attributes:
        name: What the user called it.
        kind: `TRAINING`, `CLASSIFICATION` or `RETRIEVAL`.
        urls: Its shards.
        classes: Its class names.
        problems: What an evaluation would refuse; a line each.
    """

    name: str
    kind: str
    urls: tuple[str, ...]
    classes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def parts(shards: Sequence[str], allow_pipe: bool = False) -> list[Part]:
    """All training shards as one part, and each split of each evaluation set.

    Args:
        shards: Each as `data.train.shards` takes it, or the folder of a set in clip_benchmark's
            layout, or of one of its splits.
        allow_pipe: Whether shards may be commands (`pipe:COMMAND`).

    Raises:
        ValueError: There is nothing to read; one line.
    """
    found: list[Part] = []
    urls: dict[str, None] = {}
    named: list[str] = []
    for one in shards:
        splits = _splits(Path(os.path.expanduser(one)))
        if splits:
            found += splits
        else:
            urls.update(dict.fromkeys(expand(one, allow_pipe, "SHARDS", "--allow-pipe")))
            named.append(one)
    if absent := missing(urls):
        raise ValueError(f"SHARDS: {absent[0]!r} does not exist ({len(absent)} of {len(urls)})")
    if urls:
        found.insert(0, Part(", ".join(named), TRAINING, tuple(urls)))
    return found


def _splits(folder: Path) -> list[Part]:
    """The splits of the evaluation set in this folder; empty if it is not one."""
    if not folder.is_dir():
        return []
    if (folder / NSHARDS).is_file():
        return [_split(folder.resolve().parent, folder)]
    if _tars(folder):
        return []
    splits = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    marked = any((folder / name).is_file() for name in (CLASSNAMES, DATASET_TYPE))
    splits = [p for p in splits if (p / NSHARDS).is_file() or (marked and _tars(p))]
    return [_split(folder, split) for split in splits]


def _split(folder: Path, split: Path) -> Part:
    problems = []
    classes = tuple(_lines(folder / CLASSNAMES))
    said = " ".join(_lines(folder / DATASET_TYPE)).lower()
    kind = said or (CLASSIFICATION if classes else RETRIEVAL)
    if kind not in (CLASSIFICATION, RETRIEVAL):
        problems.append(f"{DATASET_TYPE} says {said[:40]!r}: {CLASSIFICATION} or {RETRIEVAL}")
        kind = CLASSIFICATION if classes else RETRIEVAL
    if kind == CLASSIFICATION and not classes:
        problems.append(f"{CLASSNAMES} is missing or empty: one class name per line")
    tars = _tars(split)
    counted = " ".join(_lines(split / NSHARDS))
    expected = [f"{number}.tar" for number in range(len(tars))]
    if counted != str(len(tars)):
        says = f"says {counted[:40]!r}" if counted else "is missing"
        problems.append(f"{split.name}/{NSHARDS} {says}; {split.name} holds {len(tars)} .tar files")
    if strange := sorted({path.name for path in tars} - set(expected)):
        problems.append(f"{split.name}/{strange[0]}: shards are called 0.tar, 1.tar, …")
    urls = tuple(str(path) for path in tars)
    return Part(str(split), kind, urls, classes, tuple(problems))


def _tars(folder: Path) -> list[Path]:
    tars = [path for path in folder.iterdir() if path.suffix == ".tar"]
    return sorted(tars, key=lambda path: (len(path.name), path.name))


def _lines(path: Path) -> list[str]:
    """The lines of a text; empty if there is no such file.

    Raises:
        ValueError: It is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {reason(error)}") from error
    return [line.strip() for line in lines if line.strip()]
