"""Folders of sweeps: which runs they are, what differs between them, what seeds make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cyclip_pl.reports import sweeps
from cyclip_pl.reports.__main__ import main
from cyclip_pl.reports.differences import differences, names_by
from cyclip_pl.reports.groups import Cell
from cyclip_pl.reports.run_config import RunConfig, read_config
from cyclip_pl.reports.runs import read_runs
from cyclip_pl.reports.seeds import over_seeds
from cyclip_pl.reports.sweeps import expand
from tests.helpers.run_folders import write_config, write_run

COMMAND = "train.py -m objective=clip,cyclip seed=0,1"


def write_sweep(folder: Path) -> Path:
    """Two objectives with two seeds each, a run that failed, and what Hydra leaves beside them."""
    for number, (objective, seed) in enumerate(
        [("clip", 0), ("clip", 1), ("cyclip", 0), ("cyclip", 1)]
    ):
        acc1 = 0.2 + 0.1 * (objective == "cyclip") + 0.02 * seed
        run = write_run(folder / str(number), {"s/zero_shot/acc1": acc1, "train/seconds": 3.0})
        weights = {} if objective == "clip" else {"lambda_in_modal": 0.25}
        settings = {
            "objective": {"_target_": f"x.{objective}", **weights},
            "callbacks": {"last": {"dirpath": f"{run}/checkpoints"}},
            "run_id": f"id{number}",
            "seed": seed,
        }
        write_config(run, settings, {"objective": objective, "data": "emoji"}, COMMAND)
    write_config(folder / "4", {"seed": 2})
    (folder / "multirun.yaml").write_text("hydra: {}")
    (folder / "notes").mkdir()
    (folder / "00").symlink_to("0", target_is_directory=True)  # as training links numbers
    return folder


def test_a_sweep_stands_for_its_runs_by_what_differs(tmp_path: Path) -> None:
    alone = write_run(tmp_path / "alone", {})
    folder = write_sweep(tmp_path / "sweep")
    found = expand([alone, folder])
    assert found.folders == [alone, *(folder / str(n) for n in range(4))]
    assert found.names == [
        None,
        "objective=clip, seed=0",
        "objective=clip, seed=1",
        "objective=cyclip, seed=0",
        "objective=cyclip, seed=1",
    ]
    assert found.failed == [folder / "4"]


def test_runs_of_two_sweeps_have_their_sweeps_names(tmp_path: Path) -> None:
    found = expand([write_sweep(tmp_path / "a"), write_sweep(tmp_path / "b")])
    assert found.names[0] == "a: objective=clip, seed=0"
    assert found.names[4] == "b: objective=clip, seed=0"
    assert len(set(found.names)) == 8


def test_a_folder_of_nothing_is_not_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert expand([tmp_path]).folders == [tmp_path]
    with pytest.raises(ValueError, match=r"has no metrics\.json: is it a run folder\?$"):
        read_runs([tmp_path])


def test_too_many_runs_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "MOST_RUNS", 3)
    with pytest.raises(ValueError, match="^4 runs: a report compares at most 3; name some"):
        expand([write_sweep(tmp_path / "sweep")])


def config(choices: dict[str, str] | None = None, **settings: Any) -> RunConfig:
    return RunConfig({k.replace("__", "."): str(v) for k, v in settings.items()}, choices or {})


def test_what_a_choice_means_is_not_repeated() -> None:
    clip, cyclip = {"objective": "clip"}, {"objective": "cyclip"}
    runs = [
        config(clip, objective___target_="a", optimizer__lr=1, seed=0),
        config(cyclip, objective___target_="b", objective__lambda_in_modal=0.25, optimizer__lr=1),
    ]
    found = differences(runs)
    assert [(one.name, one.values) for one in found] == [
        ("objective", ("clip", "cyclip")),
        ("seed", ("0", None)),
    ]
    # But what differs within one choice is.
    more = config(cyclip, objective___target_="b", objective__lambda_in_modal=1, optimizer__lr=1)
    found = differences([*runs, more])
    assert [one.short for one in found] == ["objective", "λ1", "seed"]
    assert names_by(found, [*runs, more], ["0", "1", "2"]) == [
        "objective=clip",
        "objective=cyclip, λ1=0.25",
        "objective=cyclip, λ1=1",
    ]


def test_short_names_are_as_long_as_it_takes() -> None:
    runs = [config(a__lr=n, b__lr=n, b__x=n) for n in range(2)]
    assert [one.short for one in differences(runs)] == ["a.lr", "b.lr", "x"]


def test_equal_runs_are_told_apart_by_their_folders() -> None:
    runs = [config(lr=1), config(lr=1), config(lr=2)]
    names = names_by(differences(runs), runs, ["0", "1", "2"])
    assert names == ["lr=1 (0)", "lr=1 (1)", "lr=2"]
    assert names_by([], [config(), config()], ["0", "1"]) == ["0", "1"]


def test_seeds_have_a_mean_and_a_spread(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep")
    runs = read_runs([folder / str(n) for n in range(4)])
    names, (group,) = over_seeds(runs, differences([run.config for run in runs]))
    assert names == ["objective=clip (2 seeds)", "objective=cyclip (2 seeds)"]
    assert group.rows[0].metric == "acc1" and len(group.rows) == 1
    assert group.rows[0].cells == (Cell("21.0", "± 1.4"), Cell("31.0", "± 1.4"))
    one = runs[::2]
    assert over_seeds(one, differences([run.config for run in one])) is None


def test_the_report_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = write_sweep(tmp_path / "sweep"), tmp_path / "out"
    assert main([str(folder), "--output", str(out), "--best", "zero_shot/acc1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"failed: {folder / '4'}" in said
    assert "objective=cyclip, seed=1 has the best s · zero_shot · acc1: 32.0 %." in said
    assert "Without intervals, chance cannot be excluded." in said
    page = (out / "report.html").read_text()
    assert "Over seeds" in page and "± 1.4" in page and "Failed, without metrics" in page
    assert main([str(folder), "--output", str(out), "--best", "acc7"]) == 1
    assert capsys.readouterr().err == (
        "error: --best=acc7: no run has this metric; a report without --best names them all\n"
    )
    assert main([str(folder), "--output", str(out), "--best", "train/seconds"]) == 1
    assert "neither more nor less of it is better" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    ["a: [1", "a: &x [1]\nb: *x", "- " * 5000 + "1", "{" * 3000, "!!python/object:os.x {}", "\0"],
)
def test_a_strangers_config_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml is not the YAML of a run$") as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_config_is_flat_text_without_what_names_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    settings = {"a": {"b": 1, "c": None, "d": f"{folder}/x", "e": {}}, "run_id": "z", "l": [1, "x"]}
    write_config(folder, settings, {"data": "emoji", "sweep": None}, "train.py +a.b=1 'seed=0,1' x")
    found = read_config(folder)
    assert found.settings == {
        "a.b": "1",
        "a.c": "null",
        "a.d": "RUN/x",
        "a.e": "{}",
        "l": '[1, "x"]',
    }
    assert found.choices == {"data": "emoji", "sweep": "null"}
    assert found.typed == ("a.b", "seed")
    assert read_config(tmp_path) == RunConfig()
