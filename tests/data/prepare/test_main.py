"""The commands as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.data.prepare.__main__ import main


def test_csv_from_the_command_line(tmp_path, capsys) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "pairs.tsv").write_text("path\ttitle\na.png\tone\nb.png\ttwo\n")
    command = [
        *("csv", "--csv", str(tmp_path / "pairs.tsv"), "--output", str(tmp_path / "out")),
        *("--image-key", "path", "--caption-key", "title", "--workers", "1"),
    ]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert f"1 samples, 1 captions in {tmp_path / 'out' / '00000.tar'}" in printed.out
    assert f"next: cyclip-train data=webdataset data.train.shards={tmp_path}/out" in printed.out
    assert "1 bad rows (missing file 1)" in printed.out and "bad_rows.csv" in printed.out
    assert "images: 2 of 2, 1 bad rows" in printed.err
    assert main(command) == 0
    assert "already prepared" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["csv", "--csv", "absent.csv", "--output", "out"],
        ["csv", "--csv", "t.csv", "--output", "out", "--image-key", "file"],
        ["csv", "--csv", "t.csv", "--output", "out", "--workers", "0"],
        ["csv", "--csv", "t.csv", "--output", "t.csv/out"],
        ["emoji", "--output", "taken"],
        ["emoji", "--size", "0", "--output", "new"],
    ],
)
def test_errors_are_one_line_and_status_1(tmp_path, monkeypatch, capsys, options) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("image,caption\na.jpg,one\n")
    Path("taken").mkdir()
    Path("taken", "thesis.txt").write_text("mine")
    assert main(options) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.splitlines()[-1]
    assert last.startswith("error: ") and "Traceback" not in printed.err
    assert not Path("out").exists() and not Path("new").exists()


@pytest.mark.parametrize("options", [[], ["words"], ["csv"], ["emoji", "--size", "big"]])
def test_usage_errors_are_status_2(options, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    assert stopped.value.code == 2
    assert "usage: cyclip-prepare" in capsys.readouterr().err


@pytest.mark.slow
def test_help_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "cyclip_pl.data.prepare", "csv", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--caption-key" in shown.stdout and "bad_rows.csv" in shown.stdout


def test_an_interrupt_is_one_line(tmp_path, monkeypatch, capsys) -> None:
    from cyclip_pl.data.prepare import emoji

    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(emoji, "prepare", interrupted)
    assert main(["emoji"]) == 130
    assert "interrupted" in capsys.readouterr().err
