"""The command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from cyclip_pl.reports.__main__ import main
from tests.helpers.run_folders import write_run


@pytest.mark.slow
def test_the_command_reads_files_and_no_model(tmp_path: Path) -> None:
    metrics = {"birds/consistency/k1": 0.41, "birds/consistency/k3": 0.43}
    folders = [write_run(tmp_path / name, metrics) for name in "ab"]
    code = (
        "import sys; from cyclip_pl.reports.__main__ import main; status = main(sys.argv[1:]); "
        "heavy = {'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules); "
        "print(heavy or 'light'); sys.exit(status)"
    )
    output = tmp_path / "out" / "deep"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders), "--output", str(output)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "birds · consistency" in done.stdout and "41.0" in done.stdout
    assert done.stdout.splitlines()[-2:] == [f"report: {output / 'report.html'}", "light"]
    wanted = {"report.html", "table.csv", "table.md", "consistency.png"}
    assert {path.name for path in output.iterdir()} == wanted


@pytest.mark.slow
def test_the_same_runs_make_the_same_files(
    two_runs: list[Path], report: Path, tmp_path: Path
) -> None:
    # Nor do a user's own settings of matplotlib change them.
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        assert main([*map(str, two_runs), "--output", str(tmp_path)]) == 0
        assert matplotlib.rcParams["font.size"] == 30
    files = sorted(path.name for path in report.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == files and len(files) == 12
    for name in files:
        assert (report / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_names_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(write_run(tmp_path / n, {"s/zero_shot/acc1": 0.5})) for n in "ab"]
    output = str(tmp_path / "out")
    assert main([*folders, "--output", output, "--names", "first run,second"]) == 0
    out = capsys.readouterr().out
    assert "first run" in out and "second" in out
    assert "first run and second are equal in s · zero_shot · acc1: 50.0 %." in out
    hidden = " ".join(out.partition("not shown: ")[2].split())
    assert hidden.startswith("Training curves, ")
    assert "Both modalities in the common space, " in hidden
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert (tmp_path / "out/table.csv").read_text().startswith("dataset,evaluation,metric,first")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no metrics.json"), ("\x1b", "metrics.json is not JSON"), ("[]", "JSON object")],
)
def test_errors_are_one_line_and_write_nothing(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bad\x1b[31m"
    folder.mkdir()
    if content is not None:
        (folder / "metrics.json").write_text(content)
    assert main([str(folder), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.out == "" and not (tmp_path / "out").exists()
    assert said.err.startswith("error: ") and message in said.err
    assert said.err.count("\n") == 1 and "\x1b" not in said.err


def test_an_output_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a", {"s/zero_shot/acc1": 0.5})
    file = tmp_path / "a/metrics.json"
    assert main([str(tmp_path / "a"), "--output", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_package_that_is_missing(
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(tmp_path / "a", {})
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(tmp_path / "a"), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said == f"error: reports need {package}: pip install 'cyclip-pl[reports]'\n"
