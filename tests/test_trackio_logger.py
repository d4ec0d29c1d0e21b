"""A run in Trackio: its folder, its settings, metrics and images; a resumed run goes on in it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra.utils import instantiate
from PIL import Image

from cyclip_pl.callbacks.examples import log_image
from cyclip_pl.trackio_logger import TrackioLogger
from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed

# Reads its folder when it is imported, as Trackio does, and notes what it is told.
FAKE = """
import os

TRACKIO_DIR = os.environ["TRACKIO_DIR"]
calls = []


class Run:
    config = {"_Created": "now"}

    def log(self, metrics, step=None):
        calls.append(("log", metrics, step))


def init(**about):
    calls.append(("init", about))
    return Run()


def finish():
    calls.append(("finish",))


def Image(value):
    return "image", value.size
"""


def _forget() -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "trackio"]:
        del sys.modules[name]


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trackio as a new process finds it, before and after."""
    monkeypatch.setenv("TRACKIO_DIR", "/elsewhere")
    _forget()
    yield
    _forget()


@pytest.fixture
def fake(own_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trackio.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)


def _logger(folder: Path, *more: str) -> TrackioLogger:
    config = composed("logger=[trackio]", *more, run_dir=folder)
    return instantiate(config.logger.trackio)


def _imported() -> Any:
    module = sys.modules["trackio"]
    assert isinstance(module, ModuleType)
    return module


@pytest.mark.usefixtures("fake")
def test_a_run_is_told_to_trackio(tmp_path: Path) -> None:
    logger = _logger(tmp_path / "run", "run_id=abc", "+logger.trackio.group=first")
    assert "trackio" not in sys.modules, "opened before the run begins"
    assert (logger.name, logger.version) == ("cyclip-pl", "abc")
    logger.log_hyperparams({"optimizer": {"lr": 0.1}, "seed": 3})
    assert logger.experiment.config == {"_Created": "now", "optimizer.lr": 0.1, "seed": 3}
    logger.log_metrics({"train/total": 1.5}, step=7)
    log_image(logger, "examples/images", Image.new("RGB", (6, 5)), 7)
    logger.finalize("success")
    logger.finalize("success")
    trackio = _imported()
    assert trackio.TRACKIO_DIR == logger.save_dir == str(tmp_path / "run/trackio")
    about = {"project": "cyclip-pl", "name": "abc", "group": "first", "resume": "allow"}
    assert trackio.calls == [
        ("init", about),
        ("log", {"train/total": 1.5}, 7),
        ("log", {"examples/images": ("image", (6, 5))}, 7),
        ("finish",),
    ]


@pytest.mark.usefixtures("fake")
def test_the_next_job_of_a_sweep_has_its_own_folder(tmp_path: Path) -> None:
    found = []
    for job in ("0", "1"):
        logger = TrackioLogger(tmp_path / job, name=job)
        logger.log_metrics({"loss": 1.0}, step=0)
        logger.finalize("success")
        found.append(_imported())
    assert [trackio.TRACKIO_DIR for trackio in found] == [str(tmp_path / job) for job in "01"]
    for trackio, job in zip(found, "01", strict=True):
        assert [call[0] for call in trackio.calls] == ["init", "log", "finish"]
        assert trackio.calls[0][1]["name"] == job


@pytest.mark.usefixtures("fake")
def test_jobs_may_share_a_folder(tmp_path: Path) -> None:
    for job in ("0", "1"):
        logger = TrackioLogger(tmp_path, name=job)
        logger.log_metrics({"loss": 1.0}, step=0)
        logger.finalize("success")
    calls = _imported().calls
    assert [call[1]["name"] for call in calls if call[0] == "init"] == ["0", "1"]
    assert [call[0] for call in calls] == ["init", "log", "finish"] * 2


def test_without_trackio_the_extra_is_named(
    own_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match=r"^logger=trackio: .*'cyclip-pl\[trackio\]'$"):
        TrackioLogger(tmp_path, name="abc")


def _rows(folder: Path, query: str) -> list[Any]:
    (file,) = (folder / "trackio").glob("*.db")
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


@pytest.mark.slow
@pytest.mark.usefixtures("own_process")
def test_a_resumed_run_goes_on_in_the_same_run(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    for folder, steps, more in (
        ("run", 2, []),
        ("run", 4, ["resume=auto", "optimizer.lr=0.5"]),
        ("next", 1, []),
    ):
        typed = [
            *cheap(world, steps),
            "evaluation=[]",
            "logger=[trackio,csv]",
            "callbacks=[default,examples]",
            f"callbacks.examples.datasets=[{world}/captions]",
            "callbacks.examples.every_n_steps=null",
            *more,
        ]
        train(composed(*typed, run_dir=tmp_path / folder))
    for folder, steps, lr in (("run", [0, 1, 2, 3], 0.5), ("next", [0], 1e-3)):
        ((run_id, config),) = _rows(tmp_path / folder, "SELECT run_id, config FROM configs")
        assert json.loads(config)["optimizer.lr"] == lr
        assert json.loads(config)["provenance.packages.torch"]
        rows = _rows(tmp_path / folder, "SELECT run_id, step, metrics FROM metrics ORDER BY id")
        assert {of_run for of_run, *_ in rows} == {run_id}
        told = [(step, json.loads(metrics)) for _, step, metrics in rows]
        assert [step for step, metrics in told if "train/total" in metrics] == steps
        images = [metrics["examples/images"] for _, metrics in told if "examples/images" in metrics]
        for image in images:
            file = tmp_path / folder / "trackio/media" / image["file_path"]
            assert min(Image.open(file).size) > 40
        assert len(images) == (2 if folder == "run" else 1)
