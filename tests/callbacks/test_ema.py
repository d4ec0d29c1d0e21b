"""The average is what evaluations see, checkpoints hold and a resume goes on with."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cyclip_pl.callbacks.ema import EMA, averaged, raw_name
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.io import CheckpointFiles
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.evaluation.results import Results
from cyclip_pl.models.load import load
from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed


class Line(L.LightningModule):
    """One weight that grows by 1 per step, beside a mask with infinities and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
        self.register_buffer("mask", torch.tensor([0.0, -math.inf]), persistent=False)
        self.register_buffer("count", torch.tensor(0))
        self.bias = None

    def as_model(self) -> Any:
        return self

    @property
    def scale(self) -> float:
        return self.w[0].item()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return -self.w.sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.setdefault("scale", self.scale)


class Probe(Protocol[str]):
    """Gives the weight that the model has."""

    def __init__(self, name: str = "probe") -> None:
        super().__init__(name, None, "test")

    def _open(self) -> list[str]:
        return ["set"]

    def _add(self, results: Results, dataset: str, store: FeatureStore) -> None:
        model: Any = store.model
        results.add(dataset, self.name, {"weight": model.scale}, details={"weight": model.scale})


class Looks(L.Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.masks: list[list[float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        with averaged(trainer):
            inside = pl_module.scale
            self.masks.append(pl_module.mask.tolist())
        self.seen.append((inside, pl_module.scale))


def _fit(folder: Path, steps: int, *callbacks: L.Callback, resume: Path | None = None) -> Line:
    module = Line()
    trainer = L.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[*callbacks, Last(folder, every_n_steps=None)],
        plugins=[CheckpointFiles()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(torch.zeros(8, 1)), ckpt_path=resume)
    return module


def test_it_follows_and_then_averages_and_both_are_saved(tmp_path: Path) -> None:
    looks = Looks()
    module = _fit(tmp_path, 5, EMA(decay=0.75, start_step=2), looks)
    third = 0.75 * 2 + 0.25 * 3
    fourth = 0.75 * third + 0.25 * 4
    fifth = 0.75 * fourth + 0.25 * 5
    assert looks.seen == [(1, 1), (2, 2), (third, 3), (fourth, 4), (fifth, 5)]
    assert looks.masks == [[0.0, -math.inf]] * 5
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["w"].tolist() == [fifth] * 3
    assert saved["scale"] == fifth
    assert saved["current_model_state"]["w"].tolist() == [5.0] * 3
    assert module.w.tolist() == [5.0] * 3


def test_what_evaluations_do_cannot_leave_the_average_in_place(tmp_path: Path) -> None:
    class Fails(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
            with pytest.raises(RuntimeError, match="of an evaluation"), averaged(trainer):
                raise RuntimeError("of an evaluation")

    assert _fit(tmp_path, 2, EMA(decay=0.5), Fails()).w.tolist() == [2.0] * 3


def test_without_an_average_nothing_is_exchanged(tmp_path: Path) -> None:
    looks = Looks()
    _fit(tmp_path, 2, looks)
    assert looks.seen == [(1, 1), (2, 2)]


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"^callbacks\.ema\.decay=.*: must be a number"):
        EMA(decay=decay)


def test_where_an_average_cannot_work_it_is_refused() -> None:
    single: Any = SimpleNamespace(precision="bf16-true")
    with pytest.raises(ValueError, match=r"^trainer\.precision=bf16-true: .*=bf16-mixed$"):
        EMA().setup(single, Line(), "fit")


@pytest.mark.parametrize(
    "setting", [{"every_n_steps": 0}, {"start_step": -1}, {"evaluate": "averages"}]
)
def test_a_wrong_setting_is_named(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ValueError, match=rf"^callbacks\.ema\.{name}="):
        EMA(**setting)


def test_a_cadence_reaches_back_as_far_as_every_step_does(tmp_path: Path) -> None:
    looks = Looks()
    _fit(tmp_path, 6, EMA(decay=0.5, start_step=2, every_n_steps=2), looks)
    fourth = 0.5**2 * 2 + (1 - 0.5**2) * 4
    sixth = 0.5**2 * fourth + (1 - 0.5**2) * 6
    assert [seen for seen, _ in looks.seen] == [1, 2, 2, fourth, fourth, sixth]


def test_evaluations_may_look_at_the_raw_weights(tmp_path: Path) -> None:
    looks = Looks()
    _fit(tmp_path, 3, EMA(decay=0.75, evaluate="raw"), looks)
    assert looks.seen == [(1, 1), (2, 2), (3, 3)]
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["w"][0] == 0.75 * (0.75 + 0.25 * 2) + 0.25 * 3


def test_evaluations_may_look_at_both(tmp_path: Path) -> None:
    evaluation = EvaluationCallback({"probe": Probe()})
    _fit(tmp_path, 2, EMA(decay=0.75, evaluate="both"), evaluation)
    assert evaluation.metrics == {"set/probe/weight": 1.25, "set/raw_probe/weight": 2.0}
    assert evaluation.details.details == {"set/probe": {"weight": 1.25}}


def test_a_run_without_an_average_goes_on_with_one_that_begins_there(tmp_path: Path) -> None:
    _fit(tmp_path / "without", 2)
    looks = Looks()
    _fit(tmp_path, 4, EMA(decay=0.5), looks, resume=tmp_path / "without/last.ckpt")
    assert looks.seen == [(2.5, 3), (3.25, 4)]


def test_a_run_that_was_killed_before_its_end_evaluates_the_average(tmp_path: Path) -> None:
    _fit(tmp_path, 2, EMA(decay=0.75))
    evaluation = EvaluationCallback({"probe": Probe()})
    ema = EMA(decay=0.75, evaluate="both")
    module = _fit(tmp_path / "again", 2, ema, evaluation, resume=tmp_path / "last.ckpt")
    assert evaluation.metrics == {"set/probe/weight": 1.25, "set/raw_probe/weight": 2.0}
    assert module.w.tolist() == [2.0] * 3


def test_a_name_that_both_would_have_is_refused(tmp_path: Path) -> None:
    named = {name: Probe(name) for name in ("probe", "raw_probe")}
    _fit(tmp_path, 1, EMA(), EvaluationCallback(named))
    with pytest.raises(ValueError, match=r"^evaluation\.raw_probe: callbacks\.ema\.evaluate=both "):
        _fit(tmp_path, 1, EMA(evaluate="both"), EvaluationCallback(named))


@pytest.mark.slow
def test_a_run_evaluates_saves_and_resumes_its_average(world: Path, tmp_path: Path) -> None:
    def run(name: str, steps: int, *more: str) -> dict[str, float]:
        typed = [
            *cheap(world, steps),
            "callbacks=[default,ema]",
            "callbacks.ema.decay=0.5",
            "callbacks.ema.evaluate=both",
            "callbacks.best.monitor=zero_shot/acc1",
            f"evaluation.zero_shot.datasets=[{world}/shapes]",
            "scheduler.warmup_steps=0",
            "scheduler.final_fraction=1",
            "optimizer.lr=0.01",
        ]
        return train(composed(*typed, *more, run_dir=tmp_path / name))

    whole = run("whole", 4)
    run("part", 2)
    again = run("part", 4, "resume=auto")
    saved = {
        name: torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "part")
    }
    for part in ("state_dict", "current_model_state"):
        a, b = saved["whole"][part], saved["part"][part]
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), part
    average, current = (saved["whole"][k] for k in ("state_dict", "current_model_state"))
    assert any(not torch.equal(average[name], current[name]) for name in average)
    for file, weights in (("last.ckpt", "saved"), ("best.ckpt", "saved"), ("last.ckpt", "raw")):
        model = load(tmp_path / "whole/checkpoints" / file, weights=weights)
        found = ZeroShot(datasets=[str(world / "shapes")])(FeatureStore(model)).metrics
        if weights == "raw":
            found = {raw_name(name): value for name, value in found.items()}
        assert found == {k: v for k, v in whole.items() if k in found}, (file, weights)
    best = torch.load(tmp_path / "whole/checkpoints/best.ckpt", weights_only=True)
    assert "current_model_state" not in best
    assert {k: v for k, v in again.items() if k.startswith("shapes")} == {
        k: v for k, v in whole.items() if k.startswith("shapes")
    }
    with pytest.raises(ValueError, match=r"was trained with callbacks\.ema, which this command"):
        run("part", 6, "resume=auto", "callbacks.ema=null")
