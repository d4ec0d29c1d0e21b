"""What an evaluation run leaves in its folder.

metrics.json                                every metric by `<dataset>/<evaluation>/<metric>`
provenance.json                             code, packages, command, device and time of the run
details/<dataset>_<evaluation>.json         what is not a single number, and how metrics were made
details/<dataset>_<evaluation>/<name>.webp  small copies of the images that it names
predictions/<dataset>_<evaluation>.parquet  one row per example
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from importlib import util
from pathlib import Path
from typing import Any

from cyclip_pl import files
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.thumbnails import write_thumbnails


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """`metrics.json`: flat, sorted, whole or not at all; null where a value is not finite."""
    text = json.dumps(_strict(metrics), indent=2, sort_keys=True, allow_nan=False) + "\n"
    with files.atomic(folder / "metrics.json") as partial:
        partial.write_text(text, encoding="utf-8")


def check_predictions() -> None:
    """Raise ValueError, one line, if parquet cannot be written here."""
    if util.find_spec("pyarrow") is None:
        raise ValueError("predictions=true needs pyarrow: pip install 'cyclip-pl[predictions]'")


def write_details(folder: Path, results: Results) -> None:
    """`details/`, each file whole or not at all."""
    for path, title in _files(folder / "details", results.details, ".json"):
        details = _strict(results.details[title])
        text = json.dumps(details, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        with files.atomic(path) as partial:
            partial.write_text(text, encoding="utf-8")
        write_thumbnails(path.with_suffix(""), results.images.get(title, {}))


def write_predictions(folder: Path, results: Results) -> None:
    """`predictions/`, each file whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    for path, title in _files(folder / "predictions", results.predictions, ".parquet"):
        with files.atomic(path) as partial:
            parquet.write_table(pyarrow.table(results.predictions[title]), partial)


def _strict(value: Any) -> Any:
    """With null in place of NaN and infinity, which JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _strict(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(below) for below in value]
    return value


def _files(folder: Path, titles: Iterable[str], suffix: str) -> list[tuple[Path, str]]:
    """A path for each `<dataset>/<evaluation>`."""
    title_of: dict[Path, str] = {}
    for title in titles:
        path = folder / f"{title.replace('/', '_')}{suffix}"
        if path in title_of:
            raise ValueError(f"{title_of[path]} and {title} are one file, {path}: rename a set")
        title_of[path] = title
    return list(title_of.items())
