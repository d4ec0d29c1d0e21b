"""Real runs, killed at random moments and begun again, are bit for bit the run that was not."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.data.shards import write_tar
from tests.helpers.world import shape_png

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]
STEPS = 60
KILLS = 5  # of each case
# A Vision Transformer that drops patches: it draws from torch's generator in each step.
VISION = "{image_size: 32, layers: 1, width: 32, head_width: 16, patch_size: 8}"
SETTINGS = [
    "data=webdataset",
    "data.batch_size=8",
    "data.shuffle.buffer=40",
    "encoder=tiny",
    "encoder.patch_dropout=0.25",
    "~encoder.architecture.vision_cfg",
    f"+encoder.architecture.vision_cfg={VISION}",
    "encoder.architecture.text_cfg.width=16",
    "evaluation=[]",
    "~callbacks.best",
    "callbacks.last.every_n_steps=3",
    "scheduler.warmup_steps=10",
    f"trainer.max_steps={STEPS}",
    "trainer.log_every_n_steps=1",
    "logger=csv",
    "resume=auto",
]
ONE, TWO = "trainer.accelerator=cpu", "trainer=ddp_cpu"
RESAMPLED = ["data.train.resampled=true", "data.train.samples_per_epoch=200"]


def _shards(folder: Path, damaged: bool) -> str:
    """160 pairs of shapes in 8 shards; two shards are cut, and one has unusable samples."""
    for shard in range(8):
        names = range(20 * shard, 20 * shard + 20)
        pairs = {f"{n:04d}": {"png": shape_png(n), "txt": f"shape {n}".encode()} for n in names}
        if damaged and shard == 5:
            pairs |= {f"{n:04d}": {"txt": b"no image"} for n in list(names)[::3]}
        path = write_tar(folder / f"{shard:05d}.tar", pairs)
        if damaged and shard in (2, 6):
            path.write_bytes(path.read_bytes()[: 2048 * shard])
    return str(folder)


def _start(folder: Path, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "train.py", *SETTINGS, *settings, f"hydra.run.dir={folder}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=(folder.parent / f"{folder.name}.txt").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _finish(folder: Path, settings: Sequence[str]) -> None:
    output = folder.parent / f"{folder.name}.txt"
    assert _start(folder, settings).wait(600) == 0, output.read_text()[-2000:]


def _kill_at_a_random_moment(folder: Path, settings: Sequence[str], rng: random.Random) -> None:
    """Kill all processes a random time after the first step that is new."""
    rows = folder / "csv" / "metrics.csv"
    run = _start(folder, settings)
    before = rows.stat().st_mtime_ns if rows.exists() else 0
    give_up = time.monotonic() + 300
    while not (rows.exists() and rows.stat().st_mtime_ns > before) and run.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 1.5))
    with suppress(ProcessLookupError):  # it has made its last step
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def _losses(folder: Path) -> dict[int, dict[str, str]]:
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/total"]]
    names = [n for n in rows[0] if n.startswith("train/") and n.split("/")[1] not in TIMES]
    assert len(rows) == len({row["step"] for row in rows})
    return {int(row["step"]): {name: row[name] for name in names} for row in rows}


TIMES = {"images_per_second", "data_wait", "seconds"}


def _differences(a: Any, b: Any, path: str = "") -> list[str]:
    if isinstance(a, Tensor):
        return [] if torch.equal(a, b) else [path]
    if isinstance(a, dict) and a.keys() == b.keys():
        return [d for k in a for d in _differences(a[k], b[k], f"{path}.{k}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [d for i in range(len(a)) for d in _differences(a[i], b[i], f"{path}.{i}")]
    return [] if a == b else [path]


@pytest.mark.parametrize(
    ("settings", "damaged"),
    [
        ([ONE, "data.workers=0"], False),
        ([ONE, "data.workers=2"], True),
        ([TWO, "data.workers=0", *RESAMPLED], True),
        ([TWO, "data.workers=2"], False),
    ],
)
def test_killed_at_random_moments(tmp_path: Path, settings: list[str], damaged: bool) -> None:
    shards = _shards(tmp_path / "shards", damaged)
    settings = [*settings, f"data.train.shards={shards}"]
    _finish(tmp_path / "whole", settings)
    rng = random.Random(str(settings[:2]))
    for _ in range(KILLS):
        _kill_at_a_random_moment(tmp_path / "killed", settings, rng)
    _finish(tmp_path / "killed", settings)

    whole, killed = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "killed")
    )
    parts = ["state_dict", "optimizer_states", "lr_schedulers", "global_step", "loops"]
    assert not _differences({p: whole[p] for p in parts}, {p: killed[p] for p in parts})
    random_of = [c["callbacks"]["Resume"] for c in (whole, killed)]
    assert not _differences(*random_of)
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "killed")
