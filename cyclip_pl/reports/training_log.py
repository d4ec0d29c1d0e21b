"""A training run's log: `csv/metrics.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cyclip_pl.reports.run_files import read_text

_MOST_BYTES = 64 << 20
_MOST_COLUMNS = 5000


class Curve(NamedTuple):
    """Steps, increasing, and the value at each, both (N,)."""

    step: np.ndarray
    value: np.ndarray


def read_log(folder: Path) -> dict[str, Curve]:
    """The curves by column; empty if the run has no such file.

    A step that was logged twice, as of a run that was killed and resumed, has its last value.
    Cells that are not finite numbers, and lines that are not whole, are left out.

    Raises:
        ValueError: The file is too large, or no such table; one line that names it.
    """
    file = folder / "csv" / "metrics.csv"
    if not file.exists():
        return {}
    rows = csv.reader(read_text(file, _MOST_BYTES).splitlines())
    values: dict[str, dict[int, float]] = {}
    try:
        header = next(rows, [])
        if "step" not in header or len(header) > _MOST_COLUMNS:
            raise ValueError(f"{file} is not the table of a run: it has no column `step`")
        at = header.index("step")
        for row in rows:
            if len(row) != len(header) or not (row[at].isascii() and row[at].isdecimal()):
                continue
            step = int(row[at][:18])
            for name, cell in zip(header, row, strict=True):
                if cell and name != "step" and (value := _number(cell)) is not None:
                    values.setdefault(name, {})[step] = value
    except csv.Error as error:
        raise ValueError(f"{file} is not a CSV table") from error
    return {name: _curve(by_step) for name, by_step in values.items()}


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e30 else None


def _curve(by_step: dict[int, float]) -> Curve:
    steps = sorted(by_step)
    return Curve(np.array(steps), np.array([by_step[step] for step in steps]))
