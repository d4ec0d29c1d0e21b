"""Rates from a clock that the test turns."""

import pytest
import torch

from cyclip_pl.callbacks import throughput as module
from cyclip_pl.callbacks.throughput import Throughput
from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.types import Batch


class _Loader(BatchLoader):
    def __init__(self):
        self.seconds_waited = 0.0

    def close(self):
        pass


class _Trainer:
    world_size = 2
    log_every_n_steps = 2

    def __init__(self):
        self.global_step = 0
        self.train_dataloader = _Loader()


class _Module:
    def __init__(self):
        self.logged = []

    def log(self, name, value, **_):
        self.logged.append((name, value))


def test_rates_are_over_steps_and_waiting_but_not_evaluation(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    trainer, pl_module, callback = _Trainer(), _Module(), Throughput()
    batch = Batch(torch.zeros(1, 5, 3, 2, 2), torch.zeros(1, 5, 2))
    for _ in range(4):
        now[0] += 1.0  # waiting
        trainer.train_dataloader.seconds_waited += 1.0
        callback.on_train_batch_start(trainer, pl_module, batch, 0)
        now[0] += 3.0  # the step
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, pl_module, None, batch, 0)
        now[0] += 100.0  # an evaluation, in a later callback
    assert callback.seconds == pytest.approx(16)
    assert callback.samples == 4 * 5 * 2
    assert pl_module.logged == [
        ("train/images_per_second", 20 / 8),
        ("train/data_wait", 0.25),
        ("train/images_per_second", 20 / 8),
        ("train/data_wait", 0.25),
    ]


def test_a_resumed_run_counts_from_its_first_step(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    trainer, pl_module, callback = _Trainer(), _Module(), Throughput()
    callback.load_state_dict({"samples": 1000, "seconds": 50.0})
    batch = Batch(torch.zeros(1, 5, 3, 2, 2), torch.zeros(1, 5, 2))
    trainer.global_step = 2
    trainer.train_dataloader.seconds_waited = 1.0
    callback.on_train_batch_start(trainer, pl_module, batch, 0)
    now[0] += 3.0
    callback.on_train_batch_end(trainer, pl_module, None, batch, 0)
    assert callback.state_dict() == {"samples": 1010, "seconds": 54.0}
    assert pl_module.logged[0] == ("train/images_per_second", 10 / 4)
