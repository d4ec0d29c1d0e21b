"""Runs that begin with pretrained weights, as users start them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

import cyclip_pl
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.training import train
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.model_folders import MEAN, open_clip_network, write_open_clip
from tests.helpers.world import shrunk


def _logged(folder: Path, name: str) -> list[float]:
    [log] = folder.rglob("metrics.csv")
    with log.open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row[name]]


def test_the_recipe_is_what_it_says() -> None:
    config = composed("data=webdataset", "data.train.shards=x", "experiment=finetune_cyclip")
    assert (config.encoder.architecture, config.encoder.image_size) == ("ViT-B-32", 224)
    assert open_clip.get_pretrained_cfg("ViT-B-32", config.encoder.pretrained)
    assert config.optimizer.lr == 1e-5 and config.trainer.max_steps == 5000
    assert config.callbacks.lambda_warmup.steps == 1000
    assert config.callbacks.best.monitor == "zero_shot/acc1"  # the default's are there as well


@pytest.mark.slow
def test_the_recipe_trains(world: Path, tmp_path: Path) -> None:
    """On a small network, whose weights are a file."""
    state = open_clip_network(VIT).state_dict()
    torch.save(state, tmp_path / "w.pt")
    small = ["encoder.image_size=32", f"encoder.pretrained={tmp_path}/w.pt", "trainer.max_steps=3"]
    config = composed(
        *shrunk(world)[:-2],
        *small,
        "experiment=finetune_cyclip",
        "trainer.log_every_n_steps=1",
        "callbacks.lambda_warmup.steps=2",
        "data.batch_size=24",
        run_dir=tmp_path / "run",
    )
    config.encoder.architecture = VIT
    train(config)
    assert _logged(tmp_path / "run", "train/lambda_strength") == [0, 0.5, 1]
    scales = _logged(tmp_path / "run", "train/scale")
    assert scales[0] == pytest.approx(state["logit_scale"].exp().item(), rel=1e-6)
    trained = cyclip_pl.load(tmp_path / "run").encoder.model.state_dict()
    far = max((trained[name] - state[name]).abs().max().item() for name in trained)
    assert 0 < far < 3 * 1e-5 * 1.5, "three steps of Adam at the rate of 1e-5"


@pytest.mark.slow
def test_a_run_needs_its_folder_at_the_start_alone(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    write_open_clip(folder, {**VIT, "quick_gelu": True})
    begin = ["encoder=open_clip", f"encoder.architecture=local-dir:{folder}", "objective=cyclip"]
    kept = [
        one for one in shrunk(world) if not one.startswith(("encoder.im", "trainer.max", "eval"))
    ]
    steady = ["scheduler.warmup_steps=0", "scheduler.final_fraction=1", "evaluation=[]"]

    def run(name: str, steps: int, *more: str) -> dict[str, Any]:
        typed = [*kept, *begin, *steady, f"trainer.max_steps={steps}", *more]
        train(composed(*typed, run_dir=tmp_path / name))
        return torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)

    whole = run("whole", 4)
    run("part", 2)
    shutil.rmtree(folder)
    again = run("part", 4, "resume=auto")
    assert all(torch.equal(v, again["state_dict"][k]) for k, v in whole["state_dict"].items())
    for checkpoint in (whole, again):
        encoder = checkpoint["config"]["encoder"]
        assert encoder["architecture"] == {**VIT, "quick_gelu": True}
        assert (encoder["image_size"], encoder["mean"]) == (32, MEAN)
        assert checkpoint["config"]["views"]["image_size"] == 32
    loaded = cyclip_pl.load(tmp_path / "part").encoder
    assert isinstance(loaded, DualEncoder) and loaded.image_size == 32
    state = {k.removeprefix("encoder."): v for k, v in again["state_dict"].items()}
    assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items())
