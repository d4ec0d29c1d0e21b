from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from cyclip_pl.csv_logger import CSVLogger


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _filled(path: Path, steps: int) -> None:
    log = CSVLogger(path)
    for step in range(steps):
        log.log_metrics({"loss": torch.tensor(1.0 / (step + 3)), "epoch": 0}, step)


def test_each_row_is_on_the_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "csv" / "metrics.csv"
    log = CSVLogger(path)
    log.log_metrics({"loss": torch.tensor(0.1, dtype=torch.float64), "epoch": 0}, 0)
    assert path.read_text() == "step,loss,epoch\n0,0.1,0\n"
    log.log_metrics({"accuracy": float("nan")}, 1)
    log.log_metrics({"epoch": 1}, 2)
    assert path.read_text() == "step,loss,epoch,accuracy\n0,0.1,0,\n1,,,nan\n2,,1,\n"


def test_a_resumed_run_goes_on_in_its_file_and_each_step_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    _filled(path, 8)
    before = _rows(path)
    log = CSVLogger(path, first_step=5)
    assert _rows(path) == before, "nothing changes before there is something to log"
    log.log_metrics({"loss": 7.0, "new": 1.0}, 5)
    rows = _rows(path)
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert [{**row, "new": ""} for row in rows[:5]] == [{**row, "new": ""} for row in before[:5]]
    assert rows[5] == {"step": "5", "loss": "7.0", "epoch": "", "new": "1.0"}


def test_a_run_that_starts_over_drops_what_a_failed_start_left(tmp_path: Path) -> None:
    _filled(tmp_path / "metrics.csv", 3)
    CSVLogger(tmp_path / "metrics.csv").log_metrics({"other": 1.0}, 0)
    assert (tmp_path / "metrics.csv").read_text() == "step,other\n0,1.0\n"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_cut_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "metrics.csv"
    _filled(path, 4)
    text = path.read_text()
    path.write_text(text[:-cut])
    CSVLogger(path, first_step=9).log_metrics({"loss": 1.0}, 9)
    assert [row["step"] for row in _rows(path)] == ["0", "1", "2", "9"]


def test_the_file_is_never_half_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.csv"
    _filled(path, 4)
    before = path.read_text()

    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        CSVLogger(path, first_step=4).log_metrics({"new": 1.0}, 4)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]
