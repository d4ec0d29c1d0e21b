"""A run that is killed and goes on makes the steps of one that was not."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cyclip_pl.callbacks.last import Last
from cyclip_pl.callbacks.resume import Resume, random_state, set_random_state
from cyclip_pl.checkpoints.io import CheckpointFiles, save_on_all
from cyclip_pl.data.module import DataModule
from cyclip_pl.data.settings import Shuffle, TrainSource
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.distributed import rank
from cyclip_pl.types import Batch
from tests.data.shards import number_tokenizer, sample, write_shards, write_tar
from tests.helpers.distributed import run_distributed

CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for a `kill -9`: nothing is saved any more."""


class Small(L.LightningModule):
    """Draws from all generators, and keeps what it was trained on."""

    def __init__(self, kill_at: int | None) -> None:
        super().__init__()
        self.kill_at = kill_at
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))
        self.seen: list[list[str]] = []
        self.skipped: Counter[str] = Counter()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        if self.trainer.global_step == self.kill_at:
            raise Killed
        self.seen.append(batch.keys)
        self.skipped.update(batch.skipped)
        noise = random.random() + np.random.random()
        means = batch.images[0].float().mean((2, 3)) / 255
        return (self.net(means).squeeze(1) - noise).square().mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.8)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


@dataclass
class Run:
    """What a run has come to; `seen` are the keys of its batches, in order."""

    seen: list[list[str]]
    state: dict[str, Any]


def fit(
    folder: Path,
    shards: Any,
    *,
    steps: int,
    kill_at: int | None = None,
    resume: bool = False,
    every: int | None = None,
    callbacks: list[L.Callback] | None = None,
    resampled: bool = False,
    samples_per_epoch: int | None = None,
    buffer: int = 7,
    trainer_settings: dict[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Train to `steps`, or until step `kill_at` would begin; resumed from `folder`'s last.ckpt.

    Without a cadence, `every`, it saves at the end or just before it is killed.
    """
    L.seed_everything(3, verbose=False)
    data = DataModule(
        TrainSource(shards, resampled, samples_per_epoch),
        **{
            "batch_size": 3,
            "workers": 0,
            "views": Augmented(8),
            "tokenizer": number_tokenizer,
            "seed": 0,
            "shuffle": Shuffle(buffer=buffer),
        }
        | settings,
    )
    module = Small(kill_at)
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[CheckpointFiles()],
        callbacks=[Resume(), Last(folder, every or kill_at or 1000, keep=1), *(callbacks or [])],
        **{"max_steps": steps, "max_epochs": -1, "use_distributed_sampler": False}
        | (trainer_settings or {}),
    )
    path = folder / "last.ckpt" if resume else None
    try:
        trainer.fit(module, data, ckpt_path=path, weights_only=True)
    except Killed:
        data.teardown("fit")
        assert kill_at is not None
    state = {
        "weights": {k: v.clone() for k, v in module.state_dict().items()},
        "optimizer": trainer.optimizers[0].state_dict() if kill_at is None else None,
        "rate": trainer.optimizers[0].param_groups[0]["lr"] if kill_at is None else None,
        "step": trainer.global_step,
        "skipped": dict(module.skipped),
    }
    return Run(module.seen, state)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_resumes(folder: Path, shards: Any, kills: list[int], *, steps: int, **settings: Any):
    """A run killed before each of these steps, each time resumed, is one that was not killed."""
    whole = fit(folder / "whole", shards, steps=steps, **settings)
    assert len(whole.seen) == steps
    seen, skipped = [], Counter()
    every = settings.get("every") or 1
    for index, kill in enumerate([*kills, None]):
        begun = 0 if index == 0 else kills[index - 1] // every * every
        resume = index > 0 and begun > 0
        part = fit(folder / "killed", shards, steps=steps, kill_at=kill, resume=resume, **settings)
        seen[begun:] = part.seen
        skipped.update(part.state["skipped"])
    assert seen == whole.seen
    for name in ("weights", "optimizer", "rate", "step"):
        assert same(part.state[name], whole.state[name]), name
    if every == 1:
        assert skipped == whole.state["skipped"]
    return whole


SIZES = [9, 4, 6, 11, 3, 8, 5, 7]  # 53 samples: 17 batches of 3


def broken_shards(folder: Path) -> Path:
    """Cut shards, unusable samples, a shard with more and one with fewer samples than stated."""
    write_shards(folder, [9, 4, 6, 11], first=100)
    bad = {f"{n}": sample(n) if n % 3 else {"txt": b"image 0"} for n in range(12)}
    write_tar(folder / "00004.tar", bad)
    (folder / "00002.tar").write_bytes((folder / "00002.tar").read_bytes()[:4096])
    (folder / "00005.tar").write_bytes(b"text" * 500)
    sizes = {"00000.tar": 9, "00001.tar": 3, "00002.tar": 6, "00003.tar": 13, "00004.tar": 12}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    return folder


@pytest.mark.parametrize("broken", [False, True])
def test_exact_epochs(tmp_path: Path, broken: bool) -> None:
    """Every point of two epochs and more: the checkpoint of each step goes on."""
    shards = str(broken_shards(tmp_path / "s") if broken else write_shards(tmp_path / "s", SIZES))
    kills = [1, 5, 13, 14, 17, 18, 34]
    check_resumes(tmp_path, shards, kills, steps=37)


def test_every_sample_comes_once(tmp_path: Path) -> None:
    shards = str(write_shards(tmp_path / "s", SIZES))
    whole = check_resumes(tmp_path, shards, [3, 11], steps=17)
    keys = [key for batch in whole.seen for key in batch]
    assert len(keys) == len(set(keys)) == 51


@pytest.mark.parametrize(("weighted", "broken"), [(False, True), (True, False)])
def test_resampled(tmp_path: Path, weighted: bool, broken: bool) -> None:
    first = broken_shards(tmp_path / "1") if broken else write_shards(tmp_path / "1", SIZES)
    shards: Any = str(first)
    if weighted:
        second = write_shards(tmp_path / "2", [5, 6], first=300)
        shards = [{"shards": str(first), "weight": 2}, {"shards": str(second), "weight": 1}]
    check_resumes(tmp_path, shards, [1, 7, 10, 13], steps=18, resampled=True, samples_per_epoch=30)


def test_sets_that_are_too_large_to_keep(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("cyclip_pl.data.module._SMALL", 0)
    shards = str(broken_shards(tmp_path / "s"))
    check_resumes(tmp_path, shards, [4, 9, 23], steps=26, buffer=200)


def test_behind_the_last_save_the_steps_are_made_again(tmp_path: Path) -> None:
    shards = str(write_shards(tmp_path / "s", SIZES))
    check_resumes(tmp_path, shards, [3, 10, 19, 30], steps=34, every=4)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_workers(tmp_path: Path, broken: bool) -> None:
    """Batches that were made ahead, and persistent workers whose turns move with each epoch."""
    shards = str(broken_shards(tmp_path / "s") if broken else write_shards(tmp_path / "s", SIZES))
    check_resumes(tmp_path, shards, [4, 15, 18], steps=36, every=2, workers=3)


def test_limited_epochs(tmp_path: Path) -> None:
    """The epoch ends before the data does."""
    shards = str(write_shards(tmp_path / "s", SIZES))
    for limit in (5, 0.3):
        settings = {"limit_train_batches": limit}
        folder = tmp_path / f"{limit}"
        check_resumes(folder, shards, [4, 5, 6, 14, 15], steps=17, trainer_settings=settings)


class StopAfter(L.Callback):
    """Saves and dies in one of Lightning's hooks."""

    def __init__(self, path: Path, hook: str, step: int) -> None:
        self.path, self.step = path, step
        setattr(self, hook, self._stop)

    def _stop(self, trainer: L.Trainer, *unused: Any) -> None:
        if trainer.global_step == self.step:
            save_on_all(trainer, self.path)
            raise Killed


@pytest.mark.parametrize("length", [17, 9])
@pytest.mark.parametrize(
    "hook",
    [
        "on_train_start",
        "on_train_batch_start",
        "on_before_zero_grad",
        "on_train_batch_end",
        "on_train_epoch_end",
        "on_train_epoch_start",
    ],
)
def test_a_checkpoint_from_any_hook(tmp_path: Path, hook: str, length: int) -> None:
    """At the end of an epoch, inside one, inside a step, before the first step."""
    shards = str(write_shards(tmp_path / "s", SIZES))
    limit = {"limit_train_batches": length}
    common: dict[str, Any] = {"steps": length + 3, "every": 100, "trainer_settings": limit}
    whole = fit(tmp_path / "whole", shards, **common)
    for step in {"on_train_start": [0], "on_before_zero_grad": [4, length]}.get(hook, [length]):
        stop = StopAfter(tmp_path / "last.ckpt", hook, step)
        first = fit(tmp_path, shards, callbacks=[stop], kill_at=100, **common)
        rest = fit(tmp_path, shards, resume=True, **common)
        assert first.seen[:step] + rest.seen == whole.seen
        assert same(rest.state["weights"], whole.state["weights"])
        assert same(rest.state["optimizer"], whole.state["optimizer"])


@pytest.mark.parametrize("stop", [5, 17])
def test_max_steps_within_an_epoch(tmp_path: Path, stop: int) -> None:
    shards = str(write_shards(tmp_path / "s", SIZES))
    whole = fit(tmp_path / "whole", shards, steps=40)
    first = fit(tmp_path, shards, steps=stop, every=100)
    assert len(first.seen) == stop
    second = fit(tmp_path, shards, steps=stop + 1, every=100, resume=True)
    rest = fit(tmp_path, shards, steps=40, every=100, resume=True)
    assert first.seen + second.seen + rest.seen == whole.seen
    assert same(rest.state, whole.state)


def test_a_run_that_counts_epochs(tmp_path: Path) -> None:
    shards = str(write_shards(tmp_path / "s", SIZES))
    epochs = {"max_epochs": 2}
    whole = fit(tmp_path / "whole", shards, steps=-1, trainer_settings=epochs)
    assert len(whole.seen) == 34
    for kill in (17, 20):
        fit(tmp_path / f"{kill}", shards, steps=-1, kill_at=kill, trainer_settings=epochs)
        rest = fit(tmp_path / f"{kill}", shards, steps=-1, resume=True, trainer_settings=epochs)
        assert rest.seen == whole.seen[kill:]
        assert same(rest.state["weights"], whole.state["weights"])
    # Cut short by steps, then by epochs alone.
    fit(tmp_path / "steps", shards, steps=20)
    rest = fit(tmp_path / "steps", shards, steps=-1, resume=True, trainer_settings=epochs)
    assert rest.seen == whole.seen[20:]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"batch_size": 6}, "data.batch_size 3 → 6"),
        ({"workers": 2}, "data.workers 1 → 2"),
        ({"seed": 1}, "seed 0 → 1"),
        ({"buffer": 1}, "data.shuffle.buffer 7 → 1"),
    ],
)
@pytest.mark.slow
def test_another_order_is_told_and_keeps_the_place(
    tmp_path: Path, other: dict[str, Any], said: str, caplog
) -> None:
    shards = str(write_shards(tmp_path / "s", SIZES))
    fit(tmp_path, shards, steps=8, kill_at=8)
    with caplog.at_level(logging.WARNING, "cyclip_pl"):
        rest = fit(
            tmp_path, shards, steps=-1, resume=True, trainer_settings={"max_epochs": 1}, **other
        )
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("resume")]
    assert said in line and "epoch 0 goes on behind 24 samples" in line
    size = other.get("batch_size", 3)
    assert [len(keys) for keys in rest.seen] == [size] * (53 // size - 24 // size)
    assert rest.state["step"] == 8 + len(rest.seen)


def test_other_shards_that_are_fewer_begin_the_next_epoch(tmp_path: Path, caplog) -> None:
    fit(tmp_path, str(write_shards(tmp_path / "s", SIZES)), steps=8, kill_at=8)
    fewer = str(write_shards(tmp_path / "fewer", [10, 8]))
    rest = fit(tmp_path, fewer, steps=8 + 6, resume=True)
    assert "data.train" in caplog.text
    fresh = fit(tmp_path / "fresh", fewer, steps=12)
    assert rest.seen == fresh.seen[6:]


def test_the_same_order_says_nothing(tmp_path: Path, caplog, recwarn) -> None:
    """Shards that were moved, and one worker in place of none."""
    shards = write_shards(tmp_path / "s", SIZES)
    whole = fit(tmp_path / "whole", str(shards), steps=20)
    fit(tmp_path, str(shards), steps=9, kill_at=9)
    shards = shards.rename(tmp_path / "moved")
    rest = fit(tmp_path, str(shards), steps=20, resume=True, workers=1)
    assert rest.seen == whole.seen[9:] and same(rest.state["weights"], whole.state["weights"])
    assert "resume: " not in caplog.text
    assert not [w for w in recwarn if "not resumable" in str(w.message)]


def _rank(folder: Path, shards: str, workers: int) -> tuple[bool, list[str], list[str]]:
    # As in a training process on Linux; here it is that of the rank's own parent.
    multiprocessing.set_start_method("fork", force=True)
    # As torchrun tells it to each process; the process group is there already.
    world = {"TORCHELASTIC_RUN_ID": 0, "GROUP_RANK": 0, "MASTER_ADDR": "x", "MASTER_PORT": 0}
    world |= {"RANK": rank(), "LOCAL_RANK": rank(), "WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in world.items()})
    trainer = {"devices": 2, "strategy": "ddp"}
    settings: dict[str, Any] = {"workers": workers, "trainer_settings": trainer}
    whole = fit(folder / "whole", shards, steps=14, **settings)
    seen = []
    for kill, begun in ((5, 0), (9, 5), (None, 9)):
        part = fit(folder / "killed", shards, steps=14, kill_at=kill, resume=begun > 0, **settings)
        seen[begun:] = part.seen
    equal = seen == whole.seen and same(part.state["weights"], whole.state["weights"])
    keys = [key for batch in whole.seen for key in batch]
    return equal, keys[: 8 * 3], keys


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks(tmp_path: Path, workers: int) -> None:
    shards = str(
        broken_shards(tmp_path / "s") if not workers else write_shards(tmp_path / "s", SIZES)
    )
    found = run_distributed(_rank, 2, tmp_path, shards, workers)
    assert all(equal for equal, _, _ in found)
    if workers:
        # The first epoch: no sample on both ranks.
        assert len(set(found[0][1]) | set(found[1][1])) == 48


def test_random_state_is_that_of_all_generators() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    np.random.standard_normal()  # leaves a second one for the next call
    state = random_state(CPU)

    def draw() -> list[float]:
        return [random.random(), np.random.standard_normal(), torch.rand(()).item()]

    first = draw()
    assert draw() != first
    set_random_state(state, CPU)
    assert draw() == first


def test_random_state_is_safe_to_load(tmp_path: Path) -> None:
    torch.save(random_state(CPU), tmp_path / "x.pt")
    state = torch.load(tmp_path / "x.pt", weights_only=True)
    set_random_state(state, CPU)
