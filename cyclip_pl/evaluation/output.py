"""What an evaluation run leaves in its folder besides `metrics.json`.

details/<dataset>_<evaluation>.json             no single numbers, and how figures were made
predictions/<dataset>_<evaluation>.parquet      a row an example
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from cyclip_pl.evaluation.results import Results


def check_predictions() -> None:
    """Raise ValueError, one line, if parquet cannot be written here."""
    if util.find_spec("pyarrow") is None:
        raise ValueError("predictions=true needs pyarrow: pip install 'cyclip-pl[predictions]'")


def write_details(folder: Path, results: Results) -> None:
    """`details/`, each file whole or not at all."""
    for path, title in _files(folder / "details", results.details, ".json"):
        text = json.dumps(results.details[title], indent=1, ensure_ascii=False) + "\n"
        with _whole(path) as partial:
            partial.write_text(text, encoding="utf-8")


def write_predictions(folder: Path, results: Results) -> None:
    """`predictions/`, each file whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    for path, title in _files(folder / "predictions", results.predictions, ".parquet"):
        with _whole(path) as partial:
            parquet.write_table(pyarrow.table(results.predictions[title]), partial)


def _files(folder: Path, titles: Iterable[str], suffix: str) -> list[tuple[Path, str]]:
    """A path for each `<dataset>/<evaluation>`."""
    title_of: dict[Path, str] = {}
    for title in titles:
        path = folder / f"{title.replace('/', '_')}{suffix}"
        if path in title_of:
            raise ValueError(f"{title_of[path]} and {title} are one file, {path}: rename a set")
        title_of[path] = title
    if title_of:
        folder.mkdir(parents=True, exist_ok=True)
    return list(title_of.items())


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    partial.replace(path)
