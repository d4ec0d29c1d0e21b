"""Each optimizer by name: it trains, and a resumed run has the weights of one that did not stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import choices, composed

pytestmark = pytest.mark.slow

NAMES = [name for name in choices("optimizer") if name != "adamw8bit"]


def run(world: Path, folder: Path, steps: int, *overrides: str) -> dict[str, Any]:
    """Train to a step; the last checkpoint."""
    typed = [*cheap(world, steps), "evaluation=[]", "logger=[]", "callbacks.last.every_n_steps=2"]
    typed += ["trainer.max_steps=4", *overrides]
    if "~scheduler.warmup_steps" not in typed:
        typed.append("scheduler.warmup_steps=2")
    train(composed(*typed, run_dir=folder))
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_resumes_bit_for_bit(world: Path, tmp_path: Path, name: str) -> None:
    at_once = run(world, tmp_path / "a", 4, f"optimizer={name}")
    half = tmp_path / "a/checkpoints/step_2.ckpt"
    resumed = run(world, tmp_path / "b", 4, f"optimizer={name}", f"resume={half}")
    before = torch.load(half, weights_only=True)["state_dict"]
    assert any(not torch.equal(before[k], v) for k, v in at_once["state_dict"].items())
    torch.testing.assert_close(resumed["state_dict"], at_once["state_dict"], rtol=0, atol=0)
    (one,), (other,) = at_once["optimizer_states"], resumed["optimizer_states"]
    torch.testing.assert_close(other["state"], one["state"], rtol=0, atol=0)
    assert other["param_groups"] == one["param_groups"]
    assert at_once["lr_schedulers"] == resumed["lr_schedulers"]


STEP_LR = [
    "scheduler._target_=torch.optim.lr_scheduler.StepLR",
    *("~scheduler.warmup_steps", "~scheduler.final_fraction", "+scheduler.step_size=1"),
]
# What a run begins with, and what is typed when it goes on.
CHANGES = {
    "muon": (
        ["optimizer=muon", "scheduler=wsd"],
        ["optimizer.lr=0.02", "optimizer.momentum=0.5", "scheduler.decay_steps=3"],
    ),
    "rates": ([], ["rates.objective=10", "rates.image_layer_decay=0.5", "rates.text=0.1"]),
    "torch": (STEP_LR, ["+scheduler.gamma=0.5", "optimizer.betas=[0.8,0.9]"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_typed_when_a_run_goes_on_is_used(world: Path, tmp_path: Path, name: str) -> None:
    """The groups are those of a run that had these settings from its beginning."""
    begun, typed = CHANGES[name]
    run(world, tmp_path / "a", 2, *begun, "trainer.max_steps=2")
    resumed = run(world, tmp_path / "b", 4, *begun, *typed, f"resume={tmp_path / 'a'}")
    wanted = run(world, tmp_path / "c", 4, *begun, *typed)
    (mine,), (its,) = resumed["optimizer_states"], wanted["optimizer_states"]
    assert mine["param_groups"] == its["param_groups"]
    shapes = [
        {index: {k: v.shape for k, v in of.items()} for index, of in one["state"].items()}
        for one in (mine, its)
    ]
    assert shapes[0] == shapes[1]
    for part in ("optimizer", "scheduler", "rates"):
        assert resumed["config"][part] == wanted["config"][part]


def test_another_optimizer_is_refused(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "a", 2, "optimizer=timm", "optimizer.name=lion", "trainer.max_steps=2")
    resume = f"resume={tmp_path / 'a'}"
    with pytest.raises(ValueError, match=r"trained with optimizer\.name=lion, this run has lamb"):
        run(world, tmp_path / "b", 4, "optimizer=timm", "optimizer.name=lamb", resume)
    with pytest.raises(ValueError, match=r"was trained with optimizer=timm, which this command le"):
        run(world, tmp_path / "b", 4, resume)
