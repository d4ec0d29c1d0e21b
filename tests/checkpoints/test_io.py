"""Checkpoints are written whole or not at all, and never with NaN."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cyclip_pl.checkpoints.io import CheckpointFiles, save_on_all

NAN = float("nan")


def _checkpoint(value: float = 1.0, size: int = 1000) -> dict[str, Any]:
    return {
        "state_dict": {"w": torch.full((size,), value), "count": torch.tensor(7)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(size)}}}],
        "global_step": 5,
    }


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_saved_is_loaded_as_plain_torch_does(tmp_path: Path) -> None:
    path, files = tmp_path / "new" / "last.ckpt", CheckpointFiles()
    files.save_checkpoint(_checkpoint(), path)
    for found in (files.load_checkpoint(path), torch.load(path, weights_only=True)):
        assert torch.equal(found["state_dict"]["w"], torch.ones(1000))
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    files.remove_checkpoint(path)
    assert not path.exists()


# The limit falls into the tensors, the list of records at the end, or the very start.
@pytest.mark.parametrize("limit", [10, 5000, 9000])
def test_a_disk_that_fills_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, limit: int
) -> None:
    path, files = tmp_path / "last.ckpt", CheckpointFiles()
    files.save_checkpoint(_checkpoint(1.0), path)
    before = path.read_bytes()
    message = rf"^{path}: cannot be written: File too large; it needs 0.0 MB, \d+\.\d [GM]B are"
    with _files_of_at_most(limit), pytest.raises(OSError, match=message):
        files.save_checkpoint(_checkpoint(2.0), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    files.save_checkpoint(_checkpoint(2.0), path)


def test_a_disk_without_room_is_not_filled(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=7_900_000))
    message = "last.ckpt: cannot be written: the disk is full; it needs 8.0 MB, 7.9 MB are left$"
    with pytest.raises(OSError, match=message):
        CheckpointFiles().save_checkpoint(_checkpoint(size=1_000_000), tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("part", ["weights", "optimiser"])
def test_one_number_that_is_not_finite_keeps_the_old_checkpoint(
    tmp_path: Path, value: float, dtype: torch.dtype, part: str
) -> None:
    path, files, bad = tmp_path / "last.ckpt", CheckpointFiles(), _checkpoint()
    files.save_checkpoint(_checkpoint(), path)
    before = path.read_bytes()
    if part == "weights":
        states, key, name = bad["state_dict"], "w", "state_dict.w"
    else:
        states, key = bad["optimizer_states"][0]["state"][0], "exp_avg"
        name = "optimizer_states.0.state.0.exp_avg"
    states[key] = states[key].to(dtype)
    states[key][617] = value
    with pytest.raises(ValueError, match=f"not written, because {name} is not finite at step 5;"):
        files.save_checkpoint(bad, path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused_by_the_loader_too(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint(_checkpoint(), path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(9).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["state_dict"]["w"], torch.ones(1000))
    with pytest.raises(ValueError, match=f"^{path}: damaged: the checksum of its record"):
        CheckpointFiles().load_checkpoint(path)


def test_what_is_not_of_the_disk_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pickle"):
        CheckpointFiles().save_checkpoint({"f": lambda: None}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


class _Trainer:
    """The second of two ranks, which hears what happened on the first."""

    def __init__(self, first: Exception | None) -> None:
        self.first, self.sent = first, []
        self.strategy = SimpleNamespace(checkpoint_io=CheckpointFiles(), broadcast=self._broadcast)

    def save_checkpoint(self, path: Path, weights_only: bool) -> None:
        if self.first is not None:
            assert self.strategy.checkpoint_io.caught is not None
            self.strategy.checkpoint_io.caught.append(self.first)

    def _broadcast(self, outcome: Any) -> Any:
        self.sent.append(outcome)
        return outcome


def test_all_ranks_hear_what_happened_on_the_first() -> None:
    assert save_on_all(_Trainer(None), "x.ckpt") is None
    assert save_on_all(_Trainer(OSError("full")), "x.ckpt") == "full"
    with pytest.raises(ValueError, match="not finite"):
        save_on_all(trainer := _Trainer(ValueError("not finite")), "x.ckpt")
    assert trainer.sent == [(True, "not finite")]
    assert trainer.strategy.checkpoint_io.caught is None
