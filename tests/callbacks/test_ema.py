"""The average is what evaluations see, checkpoints hold and a resume goes on with."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cyclip_pl.callbacks.ema import EMA, averaged
from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.io import CheckpointFiles
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
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

    @property
    def scale(self) -> float:
        return self.w[0].item()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return -self.w.sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.setdefault("scale", self.scale)


class Looks(L.Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.masks: list[list[float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        with averaged(trainer):
            inside = pl_module.scale
            self.masks.append(pl_module.mask.tolist())
        self.seen.append((inside, pl_module.scale))


def _fit(folder: Path, steps: int, *callbacks: L.Callback) -> Line:
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
    trainer.fit(module, DataLoader(torch.zeros(8, 1)))
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
    single: Any = SimpleNamespace(
        strategy=SingleDeviceStrategy(torch.device("cpu")), precision="bf16-true"
    )
    with pytest.raises(ValueError, match=r"^trainer\.precision=bf16-true: .*=bf16-mixed$"):
        EMA().setup(single, Line(), "fit")
    sharded: Any = SimpleNamespace(strategy=object(), precision="32-true")
    with pytest.raises(ValueError, match=r"^callbacks\.ema: object does not keep whole"):
        EMA().setup(sharded, Line(), "fit")


def test_it_lies_on_the_device_that_the_module_goes_to() -> None:
    # When a callback is set up, the module is still on the CPU.
    there: Any = SimpleNamespace(
        strategy=SingleDeviceStrategy(torch.device("meta")), precision="32-true"
    )
    average = EMA()
    average.setup(there, Line(), "fit")
    devices = {x.device.type for x in average._average_model.module.parameters()}
    assert devices == {"meta"}
    assert average._average_model.n_averaged.device.type == "cpu"


@pytest.mark.slow
def test_a_run_evaluates_saves_and_resumes_its_average(world: Path, tmp_path: Path) -> None:
    def run(name: str, steps: int, *more: str) -> dict[str, float]:
        typed = [
            *cheap(world, steps),
            "callbacks=[default,ema]",
            "callbacks.ema.decay=0.5",
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
    for part in ("state_dict", "current_model_state", "averaging_state"):
        a, b = saved["whole"][part], saved["part"][part]
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), part
    average, current = (saved["whole"][k] for k in ("state_dict", "current_model_state"))
    assert any(not torch.equal(average[name], current[name]) for name in average)
    for file in ("last.ckpt", "best.ckpt"):
        model = load(tmp_path / "whole/checkpoints" / file)
        found = ZeroShot(datasets=[str(world / "shapes")])(FeatureStore(model)).metrics
        assert found == {k: v for k, v in whole.items() if k in found}, file
    assert {k: v for k, v in again.items() if k.startswith("shapes")} == {
        k: v for k, v in whole.items() if k.startswith("shapes")
    }
    with pytest.raises(ValueError, match=r"was trained with callbacks\.ema, which this command"):
        run("part", 6, "resume=auto", "callbacks.ema=null")
