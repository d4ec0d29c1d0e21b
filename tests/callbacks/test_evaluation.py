from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cyclip_pl.callbacks.evaluation import Cadence, EvaluationCallback
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.types import Model
from tests.helpers.evaluation_sets import TinyNet, coded_set


class Recorder(Protocol[str]):
    """An evaluation that notes when it ran, scores by a list, and uses up randomness."""

    def __init__(self, scores: list[float] | None = None) -> None:
        super().__init__("probe", None, "test")
        self.scores = scores or []
        self.ran_at: list[int] = []

    def _open(self) -> list[str]:
        return ["s"]

    def __call__(self, store: FeatureStore) -> Results:
        assert self._sets, "opened before the training"
        return super().__call__(store)

    def _add(self, results: Results, dataset: str, store: FeatureStore) -> None:
        model = store.model
        assert not torch.is_grad_enabled()
        assert isinstance(model, Network) and not any(m.training for m in model.modules())
        torch.rand(3), np.random.rand(2), random.random()
        model.head(torch.rand(4, 4))
        self.ran_at.append(model.global_step)
        run = len(self.ran_at)
        score = self.scores[run - 1] if self.scores else float(run)
        results.add(dataset, self.name, {"score": score, "samples": 7})


class Network(pl.LightningModule):
    """Dropout, BatchNorm and noise: a step tells whether anything was disturbed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.head[1].eval()

    def as_model(self) -> Any:
        return self

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = (self.head(batch) + torch.randn(4)).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    callbacks: list[pl.Callback],
    folder: Path,
    module: pl.LightningModule | None = None,
    ckpt_path: str | None = None,
    **trainer: Any,
) -> pl.Trainer:
    """Epochs of 5 steps."""
    pl.seed_everything(1, verbose=False)
    trained = pl.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, "enable_checkpointing": False, "max_epochs": 3, **trainer},
    )
    data = DataLoader(torch.linspace(-1, 1, 40).reshape(10, 4).unbind(), batch_size=2, shuffle=True)
    trained.fit(module or Network(), data, ckpt_path=ckpt_path)
    return trained


def recorded(
    cadence: Cadence | None, scores: list[float] | None = None
) -> tuple[EvaluationCallback, Recorder]:
    probe = Recorder(scores)
    return EvaluationCallback({"probe": probe}, {"probe": cadence} if cadence else None), probe


@pytest.mark.parametrize(
    ("cadence", "limits", "steps"),
    [
        (None, {}, [5, 10, 15]),
        (Cadence(every_n_epochs=2), {}, [10, 15]),
        (Cadence(every_n_epochs=None), {}, [15]),
        (Cadence(every_n_epochs=None, every_n_steps=4), {}, [4, 8, 12, 15]),
        (Cadence(every_n_epochs=1, every_n_steps=5), {}, [5, 10, 15]),
        (Cadence(every_n_epochs=None), {"max_steps": 7}, [7]),
        (Cadence(), {"max_steps": 7}, [5, 7]),
        (Cadence(every_n_epochs=None, every_n_steps=1), {"accumulate_grad_batches": 5}, [1, 2, 3]),
        (Cadence(every_n_epochs=None), {"max_epochs": -1, "max_steps": 3}, [3]),
    ],
)
def test_cadence(tmp_path: Path, cadence: Cadence | None, limits: dict, steps: list[int]) -> None:
    callback, probe = recorded(cadence)
    fit([callback], tmp_path, **limits)
    assert probe.ran_at == steps
    assert callback.metrics == {"s/probe/score": float(len(steps)), "s/probe/samples": 7}


def test_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    callback, probe = recorded(Cadence(every_n_steps=1))
    with_it, without = Network(), Network()
    fit([callback], tmp_path, with_it)
    fit([], tmp_path, without)
    assert len(probe.ran_at) == 15
    assert without.head[0].weight.isfinite().all()
    for name, value in without.state_dict().items():
        assert torch.equal(value, with_it.state_dict()[name]), name
    assert with_it.head[2].training and not with_it.head[1].training


def test_a_checkpoint_can_monitor_a_metric_of_the_same_moment(tmp_path: Path) -> None:
    # The checkpoint comes first in the list: Lightning must still ask it last.
    def best(name: str, **every: int) -> ModelCheckpoint:
        return ModelCheckpoint(
            tmp_path / name, "{step}", monitor="s/probe/score", mode="max", save_top_k=1, **every
        )

    by_epoch, by_step = best("epoch", every_n_epochs=1), best("step", every_n_train_steps=5)
    callback, probe = recorded(Cadence(every_n_steps=5), scores=[0.1, 0.9, 0.5])
    trainer = fit([by_epoch, by_step, callback], tmp_path, enable_checkpointing=True)
    assert probe.ran_at == [5, 10, 15]
    for checkpoint in (by_epoch, by_step):
        assert Path(checkpoint.best_model_path).name == "step=10.ckpt"
        assert checkpoint.best_model_score == pytest.approx(0.9)
    assert trainer.callback_metrics["s/probe/score"] == pytest.approx(0.5)


def test_every_logger_gets_every_metric(tmp_path: Path) -> None:
    callback, _ = recorded(Cadence(every_n_epochs=None, every_n_steps=3))
    loggers = [CSVLogger(tmp_path / name, name="", version="") for name in ("a", "b")]
    fit([callback], tmp_path, logger=loggers, log_every_n_steps=100, max_steps=8)
    for name in ("a", "b"):
        with open(tmp_path / name / "metrics.csv") as file:
            rows = [row for row in csv.DictReader(file) if row.get("s/probe/score")]
        assert [(row["step"], float(row["s/probe/score"])) for row in rows] == [
            ("2", 1.0),
            ("5", 2.0),
            ("7", 3.0),
        ]


def test_an_early_stop_at_the_end_of_an_epoch_is_evaluated(tmp_path: Path) -> None:
    class Falls(Network):
        def on_train_epoch_end(self) -> None:
            self.log("score", -float(self.current_epoch))

    callback, probe = recorded(Cadence(every_n_epochs=None))
    stop = EarlyStopping("score", mode="max", patience=1, check_on_train_epoch_end=True)
    fit([callback, stop], tmp_path, Falls(), max_epochs=9)
    assert probe.ran_at == [10]


def test_a_resumed_run_has_no_metrics_but_those_of_its_final_weights(tmp_path: Path) -> None:
    callback, _ = recorded(None)
    saver = ModelCheckpoint(tmp_path, save_last=True)
    fit([callback, saver], tmp_path, enable_checkpointing=True)
    # Killed behind the last step: there is nothing left to train, but the evaluation is left.
    again, probe = recorded(None)
    fit([again], tmp_path, ckpt_path=str(tmp_path / "last.ckpt"))
    assert probe.ran_at == [15] and again.metrics["s/probe/score"] == 1.0
    more, probe = recorded(None)
    fit([more], tmp_path, ckpt_path=str(tmp_path / "last.ckpt"), max_epochs=4)
    assert probe.ran_at == [20] and more.metrics["s/probe/score"] == 1.0
    none = EvaluationCallback({})
    fit([none], tmp_path, ckpt_path=str(tmp_path / "last.ckpt"), max_epochs=4)
    assert none.metrics == {}


class Trained(Network):
    def __init__(self) -> None:
        super().__init__()
        self.net = TinyNet()

    def as_model(self) -> Model:
        return self.net


def _config(folder: Path, **cadence: Any) -> Any:
    entry = {
        "_target_": "cyclip_pl.evaluation.protocols.zero_shot.ZeroShot",
        "datasets": [str(folder)],
        "top_k": [1],
        "cadence": cadence,
    }
    return OmegaConf.create({"zero_shot": entry})


def test_zero_shot_from_the_configuration_is_what_it_is_outside(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1, 1, 0, 1], ["a", "b"])
    callback = EvaluationCallback.from_config(_config(tmp_path / "s", every_n_steps=2))
    assert callback.cadence == {"zero_shot": Cadence(every_n_epochs=1, every_n_steps=2)}
    module = Trained()
    fit([callback], tmp_path, module, max_epochs=1)
    outside = callback.evaluations["zero_shot"](FeatureStore(module.as_model())).metrics
    assert callback.metrics == outside
    assert outside["s/zero_shot/samples"] == 5


def test_a_missing_set_stops_before_the_first_step(tmp_path: Path) -> None:
    callback = EvaluationCallback.from_config(_config(tmp_path / "absent"))
    module = Network()
    before = module.head[0].weight.detach().clone()
    with pytest.raises(ValueError, match="no classification set at .*absent"):
        fit([callback], tmp_path, module)
    assert torch.equal(before, module.head[0].weight)


def test_wrong_settings_of_the_features_stop_before_the_first_step(tmp_path: Path) -> None:
    callback = EvaluationCallback({}, features={"batch_size": 0})
    with pytest.raises(ValueError, match=r"^features\.batch_size=0: must be"):
        fit([callback], tmp_path)


def test_the_evaluations_of_a_step_share_a_store_and_those_of_the_next_have_their_own(
    tmp_path: Path,
) -> None:
    class Notes(Recorder):
        stores: list[FeatureStore] = []

        def __call__(self, store: FeatureStore) -> Results:
            self.stores.append(store)
            return super().__call__(store)

    callback = EvaluationCallback({"a": Notes(), "b": Notes()}, features={"batch_size": 3})
    fit([callback], tmp_path, max_epochs=2)
    first, again, second, _ = Notes.stores
    assert first is again and first is not second
    assert first.batch_size == 3


@pytest.mark.parametrize(
    ("cadence", "message"),
    [
        ({"every_n_steps": 0}, r"^evaluation\.zero_shot\.cadence\.every_n_steps=0: must be null"),
        ({"every_n_epochs": 0.5}, r"^evaluation\.zero_shot\.cadence\.every_n_epochs=0\.5: must"),
        ({"every": 5}, r"^evaluation\.zero_shot\.cadence: has every_n_epochs and every_n_steps$"),
    ],
)
def test_a_wrong_cadence_is_one_line(tmp_path: Path, cadence: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationCallback.from_config(_config(tmp_path, **cadence))


def test_without_evaluations_nothing_happens(tmp_path: Path) -> None:
    callback = EvaluationCallback.from_config(None)
    fit([callback], tmp_path, max_steps=1)
    assert callback.metrics == {}
