"""A resumed run is one run: logs, counts, metrics and settings; and runs do not meet."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from cyclip_pl.evaluating import evaluate
from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow

BATCH = 24


def _train(world: Path, folder: Path, steps: int, *overrides: str) -> dict[str, float]:
    typed = [*shrunk(world), f"trainer.max_steps={steps}", *overrides]
    if "evaluation=[]" in overrides:
        typed = [override for override in typed if not override.startswith("evaluation.")]
    return train(composed(*typed, run_dir=folder))


def _files(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _csv(folder: Path, name: str) -> list[int]:
    with (folder / "csv/metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row[name]]


def _events(folder: Path, name: str) -> list[int]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars(name)]


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _last(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    _train(world, folder, 2)
    return folder


@pytest.fixture
def again(run: Path, tmp_path: Path) -> Path:
    """A copy of that run, to go on with."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_three_starts_in_one_folder_are_one_run(world: Path, again: Path) -> None:
    first = _json(again / "metrics.json")
    # A killed run has logged further than its last checkpoint.
    rows = (again / "csv/metrics.csv").read_text().splitlines()
    rows += ["2" + row[1:] for row in rows if row.startswith("1")]
    # Or not as far: a checkpoint is saved before its step is logged.
    total = rows[0].split(",").index("train/total")
    (of_step_1,) = [row for row in rows if row.startswith("1,") and row.split(",")[total]]
    rows.remove(of_step_1)
    (again / "csv/metrics.csv").write_text("\n".join(rows) + "\n")
    writer = SummaryWriter(again / "tensorboard")
    writer.add_scalar("train/total", 9.0, 2)
    writer.close()
    time.sleep(1)  # TensorBoard reads files in the order of the seconds in their names
    run_id = yaml.safe_load((again / "config.yaml").read_text())["run_id"]
    _train(world, again, 4, "resume=auto", "optimizer.lr=0.5", "evaluation=[]")
    metrics = _train(world, again, 5, f"resume={again}")
    assert of_step_1 in (again / "csv/metrics.csv").read_text().splitlines()
    for name in ("train/total", "lr-AdamW/pg1", "train/images_per_second"):
        assert _csv(again, name) == [0, 1, 2, 3, 4]
        assert _events(again, name) == [0, 1, 2, 3, 4]
    assert _csv(again, "shapes/zero_shot/acc1") == [1, 4]
    assert metrics["train/samples"] == 5 * BATCH
    assert metrics["train/steps"] == 5
    assert metrics["train/seconds"] > first["train/seconds"]
    made_by = _json(again / "provenance.json")
    assert [start.get("resumed_at", 0) for start in made_by["earlier"]] == [0, 2]
    assert made_by["resumed_at"] == 4
    assert made_by["earlier"][1]["changed"]["optimizer.lr"] == [1e-3, 0.5]
    assert made_by == _last(again)["provenance"]
    assert yaml.safe_load((again / "config.yaml").read_text())["run_id"] == run_id


def test_what_is_typed_is_used_and_the_config_is_true(
    world: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = {"lr": 0.02, "weight_decay": 0.3, "eps": 1e-6}
    overrides = [f"optimizer.{name}={value}" for name, value in typed.items()]
    more = ["optimizer.betas=[0.8,0.9]", "scheduler.warmup_steps=7", "data.batch_size=12"]
    _train(world, again, 4, "resume=auto", *overrides, *more)
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("resume="))
    assert "optimizer.betas [0.9, 0.999] → [0.8, 0.9]" in line
    assert "optimizer.lr 0.001 → 0.02" in line and "data.batch_size 24 → 12" in line
    said = yaml.safe_load((again / "config.yaml").read_text())["optimizer"]
    (state,) = _last(again)["optimizer_states"]
    decayed, *rest = state["param_groups"]
    for group in (decayed, *rest):
        assert (group["initial_lr"], group["eps"]) == (said["lr"], said["eps"]) == (0.02, 1e-6)
        assert list(group["betas"]) == said["betas"] == [0.8, 0.9]
    assert decayed["weight_decay"] == said["weight_decay"]
    assert [group["weight_decay"] for group in rest] == [0.0, 0.0]
    # Steps 2 and 3 of a warm-up of 7.
    with (again / "csv/metrics.csv").open(newline="") as file:
        rates = [float(r["lr-AdamW/pg1"]) for r in csv.DictReader(file) if r["lr-AdamW/pg1"]]
    assert rates[2:] == pytest.approx([0.02 * 3 / 7, 0.02 * 4 / 7])


def test_a_finished_run_has_nothing_left_to_do(
    world: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(again)
    metrics = _train(world, again, 2, "resume=auto", "optimizer.lr=9", "evaluation=[]")
    assert metrics == _json(again / "metrics.json")
    assert _files(again) == before
    (line,) = capsys.readouterr().out.splitlines()
    assert "the run has ended at step 2 and nothing is left to do" in line
    assert "to go on, set trainer.max_steps above 2; to evaluate, eval.py checkpoint=" in line
    with pytest.raises(ValueError, match="was trained with seed=0, this run has 1"):
        _train(world, again, 2, "resume=auto", "seed=1")


def test_a_run_of_epochs_ends_with_its_last_one(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for every in (4, 1000):  # a checkpoint before the end of the epoch, and one behind it
        epochs = ["trainer.max_epochs=1", "evaluation=[]", f"callbacks.last.every_n_steps={every}"]
        folder = tmp_path / f"every_{every}"
        _train(world, folder, -1, *epochs, "scheduler.warmup_steps=0")
        capsys.readouterr()
        _train(world, folder, -1, *epochs, "resume=auto")
        assert "set trainer.max_epochs above 1" in capsys.readouterr().out


def test_a_run_that_was_killed_before_its_metrics_gets_them(world: Path, again: Path) -> None:
    before = _json(again / "metrics.json")
    (again / "metrics.json").unlink()
    metrics = _train(world, again, 2, "resume=auto")
    assert metrics == before
    # As are those of an earlier end, whose weights are no longer the run's.
    stale = {**before, "train/steps": 1.0, "shapes/zero_shot/acc1": 2.0}
    (again / "metrics.json").write_text(json.dumps(stale))
    assert _train(world, again, 2, "resume=auto") == before


def test_metrics_of_other_weights_are_not_written(world: Path, run: Path, tmp_path: Path) -> None:
    metrics = _train(world, tmp_path / "b", 3, f"resume={run}", "evaluation=[]")
    assert {name.split("/")[0] for name in metrics} == {"train"}
    assert metrics["train/samples"] == 3 * BATCH
    assert _csv(tmp_path / "b", "train/total") == [2]
    assert "resumed_at" in _json(tmp_path / "b/provenance.json")


def test_metrics_of_an_evaluation_that_runs_no_more_are_not_written(
    world: Path, again: Path
) -> None:
    """In the same folder, where `metrics.json` of the earlier end still lies."""
    assert "shapes/zero_shot/acc1" in _json(again / "metrics.json")
    typed = ["evaluation=[retrieval]", f"evaluation.retrieval.datasets=[{world}/captions]"]
    only = [one for one in shrunk(world) if not one.startswith("evaluation.")]
    train(composed(*only, "trainer.max_steps=3", "resume=auto", *typed, run_dir=again))
    names = _json(again / "metrics.json")
    assert {name.split("/")[1] for name in names if not name.startswith("train/")} == {"retrieval"}
    assert names["train/steps"] == 3
    assert _csv(again, "shapes/zero_shot/acc1") == [1]
    assert _csv(again, "captions/retrieval/image_to_text_r1") == [2]


def test_auto_starts_over_where_there_is_nothing_to_go_on_from(world: Path, tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/metrics.csv").write_text("step,train/total\n0,9\n1,9\n2,9\n")
    (tmp_path / "config.yaml").write_text("of: a failed start\n")
    _train(world, tmp_path, 1, "resume=auto", "evaluation=[]")
    assert _csv(tmp_path, "train/total") == [0]


def test_a_folder_with_a_run_is_kept_unless_it_may_go(
    world: Path, run: Path, again: Path, tmp_path: Path
) -> None:
    before = _files(again)
    for overrides in ([], [f"resume={run}"]):
        with pytest.raises(ValueError, match="holds a run .* resume=auto .* overwrite=true"):
            _train(world, again, 1, *overrides)
    with pytest.raises(ValueError, match="^overwrite=true: would remove .* leave one of the two"):
        _train(world, again, 4, "resume=auto", "overwrite=true")
    # A command that cannot work removes nothing.
    with pytest.raises(Exception, match="lambda_in_modal"):
        _train(world, again, 1, "overwrite=true", "objective.lambda_in_modal=-1")
    with pytest.raises(ValueError, match="is the folder of a training run"):
        evaluate(composed(f"checkpoint={run}", config_name="eval", run_dir=again))
    assert _files(again) == before
    (again / "mine.txt").write_text("mine")
    metrics = _train(world, again, 1, "overwrite=true", "evaluation=[]")
    assert metrics["train/steps"] == 1
    assert _csv(again, "train/total") == [0]
    assert not (again / "checkpoints/best.ckpt").exists()
    assert (again / "mine.txt").exists()
    made_by = _json(again / "provenance.json")
    assert "earlier" not in made_by


def test_only_resume_says_where_a_run_goes_on(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^first_step=5: only resume sets it; leave it out$"):
        _train(world, tmp_path, 1, "first_step=5")


def test_a_choice_of_the_run_is_not_replaced_by_a_default(
    world: Path, run: Path, tmp_path: Path
) -> None:
    """The run was of another objective and projector: who leaves them out is told."""
    start = tmp_path / "clip"
    _train(world, start, 1, "objective=clip", "views=weak", "evaluation=[]")
    with pytest.raises(ValueError, match="with objective=clip views=weak, which .* add obj"):
        _train(world, tmp_path / "next", 2, f"resume={start}", "evaluation=[]")
    assert not (tmp_path / "next/config.yaml").exists()
    typed = ["objective=cyclip", "views=weak", "evaluation=[]"]  # changed, and wanted
    _train(world, tmp_path / "next", 2, f"resume={start}", *typed)
    assert _json(tmp_path / "next/provenance.json")["choices"]["objective"] == "cyclip"


def test_a_run_from_pretrained_weights_goes_on_without_them(world: Path, tmp_path: Path) -> None:
    """With their scale, activation and pixels, which its checkpoints keep."""
    from cyclip_pl.models.load import load
    from tests.helpers.model_folders import MEAN, STD, write_open_clip

    encoder = composed(*shrunk(world)).encoder
    config = OmegaConf.to_container(encoder.architecture, resolve=True)
    assert isinstance(config, dict)
    write_open_clip(source := tmp_path / "start", {**config, "quick_gelu": True})
    typed = [f"encoder.pretrained={source}", "optimizer.lr=0.0"]
    _train(world, tmp_path / "run", 2, *typed)
    scale = 20.085536923187668  # e³
    kept = _last(tmp_path / "run")
    assert kept["scale"] == pytest.approx(scale, rel=1e-5)
    assert kept["config"]["encoder"]["quick_gelu"] is True
    assert (kept["config"]["encoder"]["mean"], kept["config"]["encoder"]["std"]) == (MEAN, STD)
    source.rename(tmp_path / "gone")
    resumed = f"resume={tmp_path / 'run'}"
    _train(world, tmp_path / "on", 3, *typed, resumed)
    again = _last(tmp_path / "on")
    assert again["scale"] == pytest.approx(scale, rel=1e-5) and again["global_step"] == 3
    assert again["config"]["encoder"] == kept["config"]["encoder"]
    model = load(tmp_path / "on")
    assert model.scale == pytest.approx(scale, rel=1e-5)
    assert "QuickGELU" in {type(module).__name__ for module in model.modules()}
