"""Lightning's idioms: each that docs/training.md says works is tried, and does what it is for."""

from __future__ import annotations

import logging
from importlib import util
from pathlib import Path

import pytest
import torch

from cyclip_pl.errors import one_line
from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed

pytestmark = pytest.mark.slow

CALLBACKS = "lightning.pytorch.callbacks"


def _train(world: Path, folder: Path, *overrides: str, steps: int = 2) -> dict[str, float]:
    typed = [*cheap(world, steps), *overrides]
    if "callbacks=[]" in overrides:
        typed = [one for one in typed if not one.startswith("callbacks.")]
    if not any(one.startswith("evaluation=") for one in typed):
        typed.append("evaluation=[]")
    return train(composed(*typed, run_dir=folder))


def _last(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_many_at_once(world: Path, tmp_path: Path, capsys, caplog) -> None:
    """Two batches an epoch; an epoch's evaluation no longer improves; the run stops early."""
    caplog.set_level(logging.INFO, "lightning.pytorch")
    metrics = _train(
        world,
        tmp_path,
        "evaluation=[zero_shot]",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "evaluation.zero_shot.cadence.every_n_epochs=1",
        f"+callbacks.early={{_target_: {CALLBACKS}.EarlyStopping,"
        " monitor: shapes/zero_shot/acc1, mode: max, patience: 1, min_delta: 2.0}",
        f"+callbacks.mine={{_target_: {CALLBACKS}.ModelCheckpoint,"
        " dirpath: '${run_dir}/mine', filename: '{step}', every_n_train_steps: 1, save_top_k: -1}",
        f"+callbacks.timer={{_target_: {CALLBACKS}.Timer, duration: {{hours: 1}}}}",
        f"+callbacks.summary={{_target_: {CALLBACKS}.ModelSummary, max_depth: 1}}",
        "callbacks.progress=null",
        f"+callbacks.bar._target_={CALLBACKS}.TQDMProgressBar",
        "+trainer.profiler=simple",
        "+trainer.max_time={hours: 1}",
        "+trainer.detect_anomaly=true",
        "trainer.limit_train_batches=2",
        "trainer.deterministic=true",
        "trainer.benchmark=false",
        "trainer.gradient_clip_val=null",
        "trainer.num_sanity_val_steps=2",
        steps=10,
    )
    assert metrics["train/steps"] == 4, "two epochs of two batches"
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        f"step={step}.ckpt" for step in (1, 2, 3, 4)
    ]
    assert "run_training_batch" in capsys.readouterr().out
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("16-true", torch.float16), ("bf16-true", torch.bfloat16), ("64-true", torch.float64)],
)
def test_whole_runs_in_another_precision(world: Path, tmp_path: Path, precision, dtype) -> None:
    metrics = _train(world, tmp_path, f"trainer.precision={precision}")
    assert metrics["train/steps"] == 2
    weights = [x for x in _last(tmp_path).values() if x.is_floating_point()]
    assert {x.dtype for x in weights} == {dtype}


def test_a_run_that_only_tries_leaves_nothing(world: Path, tmp_path: Path, capsys) -> None:
    metrics = _train(
        world,
        tmp_path / "run",
        "+trainer.fast_dev_run=true",
        "evaluation=[zero_shot]",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "callbacks.best.monitor=zero_shot/acc1",
        steps=100,
    )
    assert metrics["train/steps"] == 1 and "shapes/zero_shot/acc1" in metrics
    assert list(tmp_path.iterdir()) == []
    assert "nothing is kept (trainer.fast_dev_run)" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"^trainer\.fast_dev_run: .* leave out resume=auto"):
        _train(world, tmp_path / "run", "+trainer.fast_dev_run=true", "resume=auto")


def test_a_run_may_have_no_logger_and_no_callback(world: Path, tmp_path: Path) -> None:
    _train(world, tmp_path, "logger=[]", "callbacks=[]", "+trainer.profiler=advanced")
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files - {".lock"} == {"config.yaml", "metrics.json", "provenance.json"}


def test_another_optimizer_keeps_the_groups_that_decay(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Lamb: does not take fused; add ~optimizer\.fused$"):
        _train(world, tmp_path, "optimizer._target_=timm.optim.Lamb")
    _train(world, tmp_path, "optimizer._target_=timm.optim.Lamb", "~optimizer.fused")
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    (state,) = last["optimizer_states"]
    assert [group["weight_decay"] for group in state["param_groups"]] == [0.1, 0.0, 0.0]
    assert "trust_clip" in state["param_groups"][0], "a setting of Lamb's alone"


def test_a_run_ends_when_its_time_is_up(world: Path, tmp_path: Path) -> None:
    metrics = _train(world, tmp_path, "+trainer.max_time={milliseconds: 1}", steps=50)
    assert metrics["train/steps"] == 1
    assert (tmp_path / "checkpoints/last.ckpt").is_file()


def test_device_stats_need_psutil_on_a_cpu(world: Path, tmp_path: Path) -> None:
    stats = f"+callbacks.stats._target_={CALLBACKS}.DeviceStatsMonitor"
    if util.find_spec("psutil") is None:
        with pytest.raises(ModuleNotFoundError) as caught:
            _train(world, tmp_path, stats)
        assert "psutil" in one_line(caught.value, "train")
    else:
        assert _train(world, tmp_path, stats)["train/steps"] == 2


def test_a_metric_that_is_not_there_yet_cannot_stop_a_run(world: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        _train(
            world,
            tmp_path,
            f"+callbacks.early={{_target_: {CALLBACKS}.EarlyStopping, monitor: s/knn/acc1}}",
            steps=8,
        )
    assert one_line(caught.value, "train").endswith(
        "set evaluation.<name>.cadence.every_n_epochs=1, or its strict=false to wait,"
        " or callbacks=[default,early_stopping]"
    )
