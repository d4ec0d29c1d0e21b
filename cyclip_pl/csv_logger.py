"""A run's metrics as one CSV file, which a resumed run goes on with."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from cyclip_pl import files


class CSVLogger(Logger):
    """Appends each row to `path` at once, so that a kill loses none.

    Lightning's logger of this name deletes the file that it finds.

    Args:
        path: Its columns are `step` and the metrics so far; a new metric adds one.
        first_step: Where the run begins. Rows of this step and later ones, which a killed run
            wrote after its last checkpoint, are removed.
    """

    def __init__(self, path: str | Path, first_step: int = 0) -> None:
        super().__init__()
        self.path = Path(path)
        self.first_step = first_step
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, *arguments: Any, **more: Any) -> None:
        """Nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {"step": step, **{name: _plain(value) for name, value in metrics.items()}}
        if not self._columns:
            self._rewrite(self._earlier(), list(row))
        elif not row.keys() <= set(self._columns):
            self._rewrite(self._rows(), list(row))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines(self._columns, [row]))  # one write: a kill leaves whole rows

    @rank_zero_only
    def add_missing(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log them, unless the run is not in this file, or has a row with them."""
        rows = self._rows()
        if rows and not any(
            row.get("step") == str(step) and all(row.get(name) for name in metrics) for row in rows
        ):
            self.log_metrics(metrics, step)

    def _rewrite(self, rows: list[dict[str, Any]], more: list[str]) -> None:
        """The rows with further columns, in place of the file."""
        names = [name for row in rows[:1] for name in row]
        self._columns = list(dict.fromkeys(["step", *self._columns, *names, *more]))
        header = {name: name for name in self._columns}
        with files.atomic(self.path) as partial:
            partial.write_text(_lines(self._columns, [header, *rows]), "utf-8")

    def _earlier(self) -> list[dict[str, Any]]:
        steps = ((row, row.get("step") or "") for row in self._rows())
        return [row for row, step in steps if step.isdecimal() and int(step) < self.first_step]

    def _rows(self) -> list[dict[str, Any]]:
        """What the file has, without a line that was cut when a machine failed."""
        if not self.path.exists():
            return []
        text = self.path.read_text("utf-8")
        rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        return [row for row in rows if None not in row and None not in row.values()]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _lines(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue()
