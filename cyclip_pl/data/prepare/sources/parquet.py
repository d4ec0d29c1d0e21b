"""Parquet files of images, or of image paths, with captions or labels."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cyclip_pl.data.prepare.class_names import class_names, sorted_labels
from cyclip_pl.data.prepare.items import BadRow, Item, Source, clean_captions
from cyclip_pl.data.prepare.shards import order
from cyclip_pl.data.prepare.sources.cells import to_item
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.indexed import Indexed, Row
from cyclip_pl.files import reason

ROWS_AT_A_TIME = 256
"""What of a row group is in memory at a time."""


def parquet_source(
    paths: Sequence[str | Path],
    columns: Columns | None = None,
    image_root: str | Path | None = None,
    classnames: Path | None = None,
    seed: int = 0,
) -> Source:
    """The images of parquet files: bytes, Hugging Face's {bytes, path}, or paths.

    Args:
        paths: Files, folders with `*.parquet` anywhere below, or patterns with wildcards.
        columns: Their columns; a caption may be a list of texts.
        image_root: The folder of relative paths; None for the first file's.
        classnames: A file with names of the classes, see `class_names`.
        seed: Of the order.

    Raises:
        ValueError: A file or a column is missing, or pyarrow is; one line.
    """
    columns = columns or Columns()
    files = [_File(path, columns) for path in _files(paths)]
    root = Path(image_root) if image_root is not None else files[0].path.parent
    if not root.is_dir():
        raise ValueError(f"--image-root {root}: no such folder")
    settings = {"files": [file.digest for file in files], **columns.settings}
    if all(file.has_paths for file in files):
        return Indexed(
            "parquet", "row", settings, _rows(files, columns), root, seed, columns.labelled,
            classnames,
        )  # fmt: skip
    return ParquetImages(files, columns, settings, root, classnames, seed)


def _files(paths: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.is_dir():
            files = sorted(path.rglob("*.parquet"))
        elif path.is_file():
            files = [path]
        else:
            files = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not files:
            what = "holds no .parquet file" if path.is_dir() else "no such file"
            raise ValueError(f"--parquet {given}: {what}")
        found += files
    return found


class _Group(NamedTuple):
    file: _File
    number: int
    first: int  # number of its first row over all files
    rows: int


class _File:
    """One parquet file, checked for its columns."""

    def __init__(self, path: Path, columns: Columns) -> None:
        try:
            import pyarrow.parquet
            import pyarrow.types
        except ImportError as error:
            raise ValueError("--parquet needs pyarrow: pip install 'cyclip-pl[parquet]'") from error
        self.path, self._columns = path, columns
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                schema, metadata = file.schema_arrow, file.metadata
        except (ValueError, OSError) as error:
            raise ValueError(f"--parquet {path}: {reason(error)}") from error
        columns.check(schema.names, path)
        kind = schema.field(columns.image).type
        self.has_paths = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)
        self.rows = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        self.class_names = _class_names(schema.metadata or {}, columns)
        size = path.stat().st_size
        footer = f"{size}/{metadata.serialized_size}/".encode() + _tail(path, metadata)
        # The footer says where each column lies and what its bounds are: of all but the pixels.
        self.digest = hashlib.sha256(footer).hexdigest()

    def batches(self, group: int | None, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
        """The values of columns, some rows at a time; of all groups if None."""
        import pyarrow.parquet

        groups = range(len(self.rows)) if group is None else [group]
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(ROWS_AT_A_TIME, list(groups), list(columns)):
                    yield batch.to_pydict()
        except (ValueError, OSError) as error:
            raise ValueError(f"--parquet {self.path}: {reason(error)}") from error


def _tail(path: Path, metadata: Any) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, metadata.serialized_size + 8), os.SEEK_END)
        return file.read()


def _class_names(metadata: dict[bytes, bytes], columns: Columns) -> list[str] | None:
    """Names of numbered classes, as Hugging Face's `datasets` writes them."""
    if columns.label is None:
        return None
    try:
        about = json.loads(metadata[b"huggingface"])
        names = about["info"]["features"][columns.label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else None


def _rows(files: Sequence[_File], columns: Columns) -> Iterator[Row | BadRow]:
    number = 0
    for file in files:
        for batch in file.batches(None, [columns.image, columns.text]):
            for image, text in zip(batch[columns.image], batch[columns.text], strict=True):
                try:
                    if not isinstance(image, str) or not image:
                        raise ValueError("no image path")
                    if columns.labelled:
                        text = None if text is None else str(text)
                    yield Row(number, image, clean_captions(text))
                except ValueError as error:
                    yield BadRow(number, image or "", str(error))
                number += 1


class ParquetImages:
    """A `Source` that streams: row groups in a shuffled order, rows shuffled inside.

    Arguments as of `parquet_source`; `files` hold images.
    """

    name, unit, note = "parquet", "row", ""

    def __init__(
        self,
        files: Sequence[_File],
        columns: Columns,
        settings: dict[str, Any],
        root: Path,
        classnames: Path | None,
        seed: int,
    ) -> None:
        self._columns, self._root, self._seed = columns, root, seed
        self._groups: list[_Group] = []
        first = 0
        for file in files:
            for number, rows in enumerate(file.rows):
                self._groups.append(_Group(file, number, first, rows))
                first += rows
        self.total: int | None = first
        self.labels, self.classnames = self._classes(files, classnames)
        self.settings = {**settings, "seed": seed, "classnames": self.classnames}

    def _classes(
        self, files: Sequence[_File], classnames: Path | None
    ) -> tuple[list[str], list[str]]:
        key = self._columns.label
        if key is None:
            return [], []
        if (names := files[0].class_names) is not None:
            labels = [str(number) for number in range(len(names))]
            return labels, class_names(labels, classnames) if classnames else names
        found: set[str] = set()
        for file in files:
            for batch in file.batches(None, [key]):
                found.update(str(label) for label in batch[key] if label is not None)
        if not found:
            raise ValueError(f"--label-key {key!r}: the column is empty")
        labels = sorted_labels(found)
        return labels, class_names(labels, classnames)

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        """One entry per row; a group in front of `start` is not read."""
        groups = {f"{number:09d}": group for number, group in enumerate(self._groups)}
        for key in order(groups, f"{self._seed}/parquet"):
            group = groups[key]
            if start >= group.rows:
                start -= group.rows
                continue
            yield from islice(self._of_group(group), start, None)
            start = 0

    def _of_group(self, group: _Group) -> Iterator[Item | BadRow]:
        columns = [self._columns.image, self._columns.text]
        labels = self.labels if self._columns.labelled else None
        first = group.first
        for batch in group.file.batches(group.number, columns):
            images, texts = (batch[column] for column in columns)
            keys = [f"{first + row:09d}" for row in range(len(images))]
            for key in order(keys, f"{self._seed}/parquet"):
                row = int(key) - first
                yield to_item(int(key), images[row], texts[row], self._root, labels)
            first += len(images)
