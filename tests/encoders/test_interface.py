"""Parts of somebody's own package train, are evaluated and go on, from a folder of YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.encoders.interface import PARTS, check_interface
from cyclip_pl.training import train
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.own_parts import LetterEncoder
from tests.helpers.world import shrunk


def test_what_every_encoder_has() -> None:
    check_interface(LetterEncoder(image_size=16, width=4))
    check_interface(DualEncoder(VIT, image_size=32))
    with pytest.raises(ValueError, match=r"=torch\.nn\.modules\.linear\.Linear: has no ") as caught:
        check_interface(nn.Linear(1, 1))
    assert ", ".join(PARTS) in str(caught.value)
    with pytest.raises(ValueError, match=r"=builtins\.dict: is not a torch\.nn\.Module$"):
        check_interface({})


@pytest.mark.slow
def test_own_parts_train_and_go_on(world: Path, tmp_path: Path) -> None:
    for group, lines in {
        "encoder": "_target_: tests.helpers.own_parts.LetterEncoder\nimage_size: 16\nwidth: 8\n",
        "projector": "_target_: tests.helpers.own_parts.Shifted\n_partial_: true\n",
    }.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "mine.yaml").write_text(lines)
    # What --config-dir does.
    own = [f"hydra.searchpath=[file://{tmp_path}/conf]", "encoder=mine", "projector=mine"]
    kept = [one for one in shrunk(world) if not one.startswith(("encoder.", "trainer.max_steps"))]
    steady = ["scheduler.warmup_steps=0", "scheduler.final_fraction=1"]

    def run(name: str, steps: int, *more: str) -> dict[str, torch.Tensor]:
        typed = [*kept, *own, *steady, f"trainer.max_steps={steps}", *more]
        metrics = train(composed(*typed, run_dir=tmp_path / name))
        assert metrics["shapes/zero_shot/samples"] == 36
        last = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        assert last["config"]["encoder"]["_target_"].endswith("LetterEncoder")
        return last["state_dict"]

    whole = run("whole", 4)
    run("part", 2)
    again = run("part", 4, "resume=auto")
    assert {"encoder.of_image.weight", "projector.shift"} <= whole.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert whole["projector.shift"].any()
