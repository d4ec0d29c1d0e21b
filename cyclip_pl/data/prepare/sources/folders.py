"""A folder of images: a folder per class, a text beside each image, or a table of captions."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cyclip_pl.data.prepare.items import BadRow, Item, Source, clean_captions, shown
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.csv_table import csv_source
from cyclip_pl.data.prepare.sources.indexed import Indexed, Row
from cyclip_pl.files import reason
from cyclip_pl.images import EXTENSIONS
from cyclip_pl.tar_members import LARGEST_MEMBER

TABLES = ("metadata.csv", "metadata.jsonl")
"""Captions of the images in their folder, as Hugging Face's imagefolder has them."""
SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class _Found(NamedTuple):
    images: list[Path]  # relative to the folder
    texts: dict[str, Path]  # side files by the path of their image without its extension
    others: Counter[str]  # how many files are neither, by extension


def folder_source(
    folder: str | Path,
    make: str = "training",
    columns: Columns | None = None,
    classnames: Path | None = None,
    seed: int = 0,
) -> Source:
    """The images of a folder, which may be

    - a folder per class, with images anywhere below; or `train`, `test` and `val` with such folders
    - images with captions beside them: `a.jpg` and `a.txt`, one caption per line, or `a.json`
    - images and `metadata.csv` or `metadata.jsonl` with the columns `file_name` and a caption

    Args:
        folder: The folder. Links are followed; hidden files and folders are not read.
        make: What is made of it, see `Plan`: a classification set needs the first kind, a caption
            set one of the others; training takes what there is, captions first.
        columns: Names of the columns in a table, or of the key in JSON.
        classnames: A file with names of the classes, see `class_names`.
        seed: Of the order.

    Raises:
        ValueError: It is not such a folder; one line.
    """
    folder, columns = Path(folder).expanduser(), columns or Columns()
    if not folder.is_dir():
        raise ValueError(f"--folder {folder}: no such folder")
    splits = _splits(folder)
    if make != "classification" and splits:
        use = "test" if make == "captions" else "train"
        if use not in splits:
            raise ValueError(f"--folder {folder}: has {', '.join(splits)} and no {use}")
        rest = ", ".join(name for name in splits if name != use)
        source = _of_one(folder / splits[use], make, columns, classnames, seed)
        source.note = f"{use}/ is read, not {rest}" if rest else source.note
        return source
    if splits:
        return Splits(folder, splits, classnames, seed)
    return _of_one(folder, make, columns, classnames, seed)


def _splits(folder: Path) -> dict[str, str]:
    """The folders of splits by the name of the split, if there are no other folders."""
    inside = [e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]
    if not inside or not set(inside) <= SPLITS.keys():
        return {}
    return {SPLITS[name]: name for name in sorted(inside)}


def _of_one(
    folder: Path, make: str, columns: Columns, classnames: Path | None, seed: int
) -> Indexed:
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if make != "classification" and table is not None:
        return _of_table(folder, table, columns, seed)
    found = _scan(folder)
    if not found.images:
        there = ", ".join(f"{n} {kind}" for kind, n in found.others.most_common(4)) or "nothing"
        raise ValueError(f"--folder {folder}: holds no image, but {there}")
    if make != "classification" and found.texts:
        rows, labelled = list(_with_texts(folder, found, columns)), False
    else:
        rows, labelled = list(_with_classes(folder, found, make)), True
    ignored = ", ".join(f"{n} {kind}" for kind, n in found.others.most_common(4))
    return Indexed(
        "folder", "sample", {"rows": _digest(folder, rows)}, rows, folder, seed, labelled,
        classnames, folders=True,
        note=f"{sum(found.others.values())} files that are not images: {ignored}" * bool(ignored),
    )  # fmt: skip


def _scan(folder: Path) -> _Found:
    images: list[Path] = []
    texts: dict[str, Path] = {}
    others: Counter[str] = Counter()
    seen: set[str] = set()
    for where, inside, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        # A link may lead to a folder above.
        inside[:] = [] if real in seen else sorted(d for d in inside if not d.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        for name in sorted(files):
            path = Path(where, name).relative_to(folder)
            kind = path.suffix.lower().removeprefix(".")
            if name.startswith("."):
                continue
            if kind in EXTENSIONS:
                images.append(path)
            elif kind in ("txt", "json"):
                texts[str(path.with_suffix(""))] = path
            else:
                others[path.suffix.lower() or "without extension"] += 1
    stems = {str(path.with_suffix("")) for path in images}
    for stem in texts.keys() - stems:  # a README, a licence
        others[texts.pop(stem).suffix] += 1
    return _Found(sorted(images), texts, others)


def _with_texts(folder: Path, found: _Found, columns: Columns) -> Iterator[Row | BadRow]:
    for number, path in enumerate(found.images):
        image = str(path)
        try:
            if (text := found.texts.get(str(path.with_suffix("")))) is None:
                raise ValueError("no .txt or .json beside it")
            yield Row(number, image, clean_captions(_captions(folder / text, columns)))
        except ValueError as error:
            yield BadRow(number, shown(image), str(error))


def _captions(path: Path, columns: Columns) -> Any:
    """The lines of a text file, or what JSON has under the caption's key."""
    try:
        if path.stat().st_size > LARGEST_MEMBER:
            raise ValueError(f"caption file over {LARGEST_MEMBER >> 20} MiB")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("caption is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"unreadable caption file: {error.strerror}") from None
    if path.suffix.lower() == ".txt":
        return text.splitlines()
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("caption file is not JSON") from None
    if not isinstance(about, dict) or columns.caption not in about:
        raise ValueError(f"JSON has no key {columns.caption!r}; --caption-key names another")
    return about[columns.caption]


def _with_classes(folder: Path, found: _Found, make: str) -> Iterator[Row | BadRow]:
    if all(len(path.parts) == 1 for path in found.images):
        wanted = "a folder per class" if make == "classification" else "captions or class folders"
        raise ValueError(f"--folder {folder}: {len(found.images)} images, but not {wanted}")
    for number, path in enumerate(found.images):
        if len(path.parts) == 1:
            yield BadRow(number, shown(str(path)), "not in a class folder")
        else:
            yield Row(number, str(path), (path.parts[0],))


def _of_table(folder: Path, table: Path, columns: Columns, seed: int) -> Indexed:
    image = "file_name" if columns.image == "image" else columns.image
    columns = Columns(image, columns.caption)
    if table.suffix == ".csv":
        source = csv_source(table, columns, image_root=folder, seed=seed)
        source.name = "folder"
        return source
    rows = list(_json_rows(table, columns))
    settings = {"rows": _digest(folder, rows)}
    return Indexed("folder", "line", settings, rows, folder, seed)


def _json_rows(table: Path, columns: Columns) -> Iterator[Row | BadRow]:
    with open(table, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                about = json.loads(line)
                if not isinstance(about, dict):
                    raise ValueError("is not an object")
            except (ValueError, RecursionError) as error:
                yield BadRow(number, "", f"not a line of JSON: {reason(error)}")
                continue
            if number == 1:
                columns.check(list(about), table)
            image = about.get(columns.image)
            try:
                if not isinstance(image, str) or not image:
                    raise ValueError("no image path")
                yield Row(number, image, clean_captions(about.get(columns.caption)))
            except ValueError as error:
                yield BadRow(number, shown(image) if isinstance(image, str) else "", str(error))


def _digest(folder: Path, rows: list[Row | BadRow]) -> str:
    """Of all texts, and of the images' names and sizes."""
    found = hashlib.sha256()
    for row in rows:
        path = folder / row.image
        size = path.stat().st_size if path.is_file() else -1
        texts = row.texts if isinstance(row, Row) else (row.reason,)
        found.update(json.dumps([os.fspath(row.image), size, *texts]).encode())
    return found.hexdigest()


class Splits:
    """A `Source` of several splits, each a folder per class; all have the same classes.

    Arguments as of `folder_source`; `splits` are folders by the name of the split.
    """

    name, unit = "folder", "sample"

    def __init__(
        self, folder: Path, splits: dict[str, str], classnames: Path | None, seed: int
    ) -> None:
        rows: list[Row | BadRow] = []
        self._split: dict[str, str] = {}
        notes = []
        for split, name in splits.items():
            of_split = _scan(folder / name)
            for row in _with_classes(folder / name, of_split, "classification"):
                row = row._replace(number=len(rows), image=f"{name}/{row.image}")
                self._split[shown(row.image)] = split
                rows.append(row)
            notes += [f"{n} {kind}" for kind, n in of_split.others.items()]
        self._all = Indexed(
            "folder", "sample", {"rows": _digest(folder, rows)}, rows, folder, seed, True,
            classnames, folders=True,
        )  # fmt: skip
        self.settings, self.total = self._all.settings, self._all.total
        self.labels, self.classnames = self._all.labels, self._all.classnames
        self.note = f"files that are not images: {', '.join(notes[:4])}" * bool(notes)

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        """As `Indexed.entries`, with the split of each image."""
        for entry in self._all.entries(start):
            if isinstance(entry, Item):
                entry = entry._replace(split=self._split[entry.image])
            yield entry
