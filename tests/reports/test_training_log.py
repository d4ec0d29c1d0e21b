from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.reports import training_log
from cyclip_pl.reports.training_log import read_log


def write(folder: Path, text: str) -> Path:
    (folder / "csv").mkdir()
    (folder / "csv/metrics.csv").write_text(text)
    return folder


def test_curves_by_column_with_the_last_value_of_a_step(tmp_path: Path) -> None:
    text = "step,train/total,lr\n1,,0.1\n1,5,\n3,4,\n5,nan,\n2,7,\n3,2,0.3\n4,1\nx,1,1\n6,9"
    found = read_log(write(tmp_path, text))
    assert {name: (c.step.tolist(), c.value.tolist()) for name, c in found.items()} == {
        "lr": ([1, 3], [0.1, 0.3]),
        "train/total": ([1, 2, 3], [5.0, 7.0, 2.0]),
    }


def test_a_run_without_a_log_has_no_curves(tmp_path: Path) -> None:
    assert read_log(tmp_path) == {}


def test_other_tables_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not the table of a run: it has no"):
        read_log(tmp_path)
    monkeypatch.setattr(training_log, "_MOST_BYTES", 3)
    with pytest.raises(ValueError, match=r"metrics\.csv has more than 3 bytes"):
        read_log(tmp_path)
