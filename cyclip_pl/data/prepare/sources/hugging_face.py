"""A data set of Hugging Face's `datasets`: on the Hub, or in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl import checks
from cyclip_pl.data.prepare.class_names import class_names, sorted_labels
from cyclip_pl.data.prepare.items import BadRow, Item
from cyclip_pl.data.prepare.shards import order
from cyclip_pl.data.prepare.sources.cells import to_item
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.files import reason

SHUFFLED = 1_000
"""Rows of a stream among which the next one is drawn."""
_SAVED = ("state.json", "dataset_dict.json")
"""Files of what `save_to_disk` has written."""


class HuggingFace:
    """A `Source` of the rows of one split; code of a data set is never run.

    A data set on the Hub, and a folder that `load_dataset` reads, are streamed: rows come in a
    shuffled order of their files and are mixed among 1,000. What `save_to_disk` has written is
    shuffled as a whole.

    Args:
        dataset: A name on the Hub, or a folder.
        config: The configuration (the subset), where there are several.
        split: The split.
        revision: A branch, tag or commit on the Hub.
        columns: Its columns; a caption may be a list of texts.
        classnames: A file with names of the classes, see `class_names`.
        seed: Of the order.

    Raises:
        ValueError: There is no such data set, split or column, or `datasets` is missing; one line.
    """

    name, unit, note = "hf", "row", ""

    def __init__(
        self,
        dataset: str,
        split: str = "train",
        config: str | None = None,
        revision: str | None = None,
        columns: Columns | None = None,
        classnames: Path | None = None,
        seed: int = 0,
    ) -> None:
        self._columns, self._seed = columns or Columns(), seed
        folder = Path(dataset).expanduser()
        self._root = folder if folder.is_dir() else Path()
        try:
            if folder.is_dir():
                about: dict[str, Any] = {"files": _digest(folder)}
                self._rows = _local(folder, split, config)
            else:
                revision = _commit(dataset, revision)
                about = {"dataset": dataset, "revision": revision}
                self._rows = _streamed(dataset, split, config, revision)
            features = _features(self._rows)
            self._columns.check(list(features), dataset)
            self._label = features.get(self._columns.label or "")
            self._rows = _undecoded(self._rows, self._columns, features)
            self.total = _total(self._rows, split)
            self.labels, self.classnames = self._classes(classnames)
        except ImportError as error:
            raise ValueError("--dataset needs datasets: pip install 'cyclip-pl[hf]'") from error
        except ValueError as error:
            if str(error).startswith("--"):
                raise
            raise ValueError(f"--dataset {dataset}: {reason(error)}") from error
        except Exception as error:  # datasets and the Hub raise errors of many kinds
            raise ValueError(f"--dataset {dataset}: {reason(error)}") from error
        self.settings = {
            **about,
            "config": config,
            "split": split,
            **self._columns.settings,
            "seed": seed,
            "classnames": self.classnames,
        }

    def _classes(self, file: Path | None) -> tuple[list[str], list[str]]:
        key = self._columns.label
        if key is None:
            return [], []
        names: list[str] | None = getattr(self._label, "names", None)
        if names is not None:
            labels = [str(number) for number in range(len(names))]
            return labels, class_names(labels, file) if file else list(names)
        column = self._rows.select_columns([key])
        labels = sorted_labels({str(row[key]) for row in column if row[key] is not None})
        if not labels:
            raise ValueError(f"--label-key {key!r}: the column is empty")
        return labels, class_names(labels, file)

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        """One entry per row."""
        labels = self.labels if self._columns.labelled else None
        for number, row in self._shuffled(start):
            image, text = row[self._columns.image], row[self._columns.text]
            yield to_item(number, image, text, self._root, labels)

    def _shuffled(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        if hasattr(self._rows, "__len__"):
            keys = (f"{number:09d}" for number in range(len(self._rows)))
            for number in [int(key) for key in order(keys, f"{self._seed}/hf")][start:]:
                yield number, self._rows[number]
        else:
            stream = self._rows.shuffle(seed=self._seed, buffer_size=SHUFFLED)
            yield from enumerate(stream.skip(start), start)


def _local(folder: Path, split: str, config: str | None) -> Any:
    import datasets

    if not any((folder / name).is_file() for name in _SAVED):
        return _streamed(str(folder), split, config, None)
    found = datasets.load_from_disk(str(folder))
    if isinstance(found, datasets.DatasetDict):
        checks.one_of("--split", split, found)
        return found[split]
    return found


def _streamed(dataset: str, split: str, config: str | None, revision: str | None) -> Any:
    import datasets

    # No `trust_remote_code`: code that comes with a data set is not run.
    found = datasets.load_dataset(dataset, config, revision=revision, streaming=True)
    checks.one_of("--split", split, found)
    return found[split]


def _commit(dataset: str, revision: str | None) -> str | None:
    """The commit behind a revision, so that a preparation goes on with the same rows."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        return HfApi().dataset_info(dataset, revision=revision).sha
    except OfflineModeIsEnabled:
        return revision


def _features(rows: Any) -> Any:
    """The columns and their kinds; of a stream that declares none, those of its first row."""
    if rows.features is not None:
        return rows.features
    import datasets
    import pyarrow

    first: dict[str, Any] = next(iter(rows), {})
    return datasets.Features.from_arrow_schema(pyarrow.Table.from_pylist([first]).schema)


def _undecoded(rows: Any, columns: Columns, features: Any) -> Any:
    """The columns that are read, with images as the bytes of their files."""
    import datasets

    rows = rows.select_columns(list(dict.fromkeys([columns.image, columns.text])))
    if isinstance(features[columns.image], datasets.Image):
        return rows.cast_column(columns.image, datasets.Image(decode=False))
    return rows


def _total(rows: Any, split: str) -> int | None:
    if hasattr(rows, "__len__"):
        return len(rows)
    splits: Any = rows.info.splits or {}
    return splits[split].num_examples if split in splits else None


def _digest(folder: Path) -> str:
    """Of the names, sizes and times of a folder's files."""
    found = hashlib.sha256()
    for path in _sorted_files(folder):
        status = path.stat()
        found.update(f"{path.relative_to(folder)}/{status.st_size}/{status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _sorted_files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
