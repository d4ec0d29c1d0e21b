"""The long versions: kills while large checkpoints are written, and damage at every byte."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
import torch

from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.files import read_weights
from tests.helpers.saving import SavingTrainer, kill_while_saving

pytestmark = pytest.mark.soak


@pytest.mark.parametrize(
    ("kills", "size", "seconds"), [(100, 1_000_000, 0.1), (24, 40_000_000, 2.0)]
)
def test_kills_while_saving(tmp_path: Path, kills: int, size: int, seconds: float) -> None:
    steps = kill_while_saving(tmp_path, kills, size, seconds)
    assert steps == sorted(steps)
    trainer = SavingTrainer()
    trainer.global_step = steps[-1] + 1
    Last(tmp_path, every_n_steps=1).save(trainer)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"last.ckpt", f"step_{steps[-1]}.ckpt"}


@pytest.mark.parametrize("flip", [1, 255])
def test_every_byte_of_a_file(tmp_path: Path, flip: int) -> None:
    """Each is refused, or the tensors and the numbers are the original's."""
    content = {"state_dict": {"a": torch.randn(40, 5), "b": torch.arange(9)}, "global_step": 7}
    file, path = BytesIO(), tmp_path / "x.ckpt"
    torch.save(content, file)
    original = file.getvalue()
    refused = 0
    for place in range(len(original)):
        damaged = bytearray(original)
        damaged[place] ^= flip
        path.write_bytes(damaged)
        try:
            found = read_weights(path)
        except ValueError:
            refused += 1
            continue
        assert found["global_step"] == 7, place
        for name, tensor in content["state_dict"].items():
            assert torch.equal(found["state_dict"][name], tensor), (place, name)
    assert refused > 1000
