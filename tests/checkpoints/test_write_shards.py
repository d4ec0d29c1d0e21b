"""Sharded checkpoints are written whole or not at all, and all ranks learn the same."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints import places
from cyclip_pl.checkpoints.files import checkpoint_file, read_weights, step_of
from cyclip_pl.checkpoints.io import CheckpointFiles
from cyclip_pl.checkpoints.write_shards import save
from cyclip_pl.distributed import rank
from cyclip_pl.strategy import FullySharded
from tests.helpers.distributed import run_distributed
from tests.helpers.sharded import divided, outcome, same, whole, write


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _fail(folder: Path) -> list[tuple[str, bool]]:
    """What each failed save raised, and whether it left the folder as it was."""
    path, found = folder / "last.ckpt", []

    def tried(work: Any) -> None:
        before = _files(folder)
        said = outcome(work)
        torch.distributed.barrier()
        found.append((said, _files(folder) == before and len(list(folder.iterdir())) == 1))
        torch.distributed.barrier()

    write(path, 4)
    for part in ("weights", "average", "optimiser", "whole"):
        checkpoint = divided(whole(5))
        state = checkpoint["optimizer_states"][0]["state"][1]
        x = {
            "weights": checkpoint["state_dict"]["uneven"],
            "average": checkpoint["current_model_state"]["even"],
            "optimiser": state["two"],
        }
        if part == "whole":
            checkpoint["state_dict"]["scale"] = torch.tensor(float("nan"))
        elif rank() == 1:
            x[part].to_local()[0] = float("inf")
        tried(lambda checkpoint=checkpoint: save(checkpoint, path, "step_4.ckpt"))
    # A limit on the size of files is the closest to a full disk: of the second rank, of the first.
    for limited, size in ((1, 3000), (0, 3000), (0, 30_000)):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if rank() == limited:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        tried(lambda: save(divided(whole(5)), path, "step_4.ckpt"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    # Machines that do not share the folder: the second rank has one of its own.
    apart = path if rank() == 0 else folder.parent / "apart" / path.name
    tried(lambda: save(divided(whole(5)), apart, "step_4.ckpt"))
    shutil.disk_usage = lambda path: SimpleNamespace(free=100)  # type: ignore[assignment]
    tried(lambda: write(path))
    return found


def test_a_save_that_fails_on_one_rank_fails_on_all_and_changes_nothing(tmp_path: Path) -> None:
    first, second = run_distributed(_fail, 2, tmp_path / "run")
    assert first[:7] == second[:7] and first[8:] == second[8:]
    assert not list((tmp_path / "apart").iterdir())
    said, unchanged = zip(*first, strict=True)
    path = f"{tmp_path}/run/last.ckpt"
    assert all(unchanged)
    names = ("state_dict.uneven", "current_model_state.even", "optimizer_states.0.state.1.two")
    for line, name in zip(said, (*names, "state_dict.scale"), strict=False):
        assert line.startswith(f"ValueError: {path}: not written, because {name} is not finite at")
    for line in said[4:7]:
        assert line.startswith(f"OSError: {path}: cannot be written: File too large; it needs 0.0")
    assert "last.ckpt: cannot be written: the ranks do not see the same folder (__1_0" in said[7]
    assert said[8].startswith(f"OSError: {path}: cannot be written: the disk is full; it needs")
    assert same(read_weights(tmp_path / "run" / "last.ckpt"), whole(4))


class _Trainer:
    """Saves a sharded checkpoint, or a file, as a trainer with that strategy."""

    is_global_zero, world_size, log_every_n_steps = True, 1, 10

    def __init__(self) -> None:
        self.global_step = 0
        self.strategy = FullySharded(process_group_backend="gloo")
        self.strategy._checkpoint_io = CheckpointFiles()
        self.strategy.broadcast = lambda x: x  # type: ignore[method-assign]

    def save_checkpoint(
        self, path: Path, weights_only: bool = False, storage_options: Any = None
    ) -> None:
        checkpoint = divided(whole(self.global_step))
        self.strategy.save_checkpoint(checkpoint, path, storage_options)


def _steps_in(folder: Path) -> dict[str, int | None]:
    place = places.folder(folder)
    return {name: step_of(place.at(name)) for name in sorted(place.names())}


def _save_in_turns(folder: Path) -> dict[str, Any]:
    """Folders and files after one another, and what a kill would find at each move."""
    found: list[tuple[int | None, int]] = []
    trainer = _Trainer()

    def watched(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            there = outcome(lambda: checkpoint_file(where))
            found.append((None if there else step_of(checkpoint_file(where)), trainer.global_step))
            return original(*args, **kwargs)

        return call

    kept: dict[str, Any] = {}
    for keep in (1, 2, 3):
        where = folder / str(keep)
        where.mkdir()
        trainer.global_step = 1
        Last(where, 1, keep=keep, sharded=True).save(trainer)
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in (
                (os, "rename"),
                (os, "link"),
                (Path, "rename"),
                (Path, "replace"),
                (Path, "unlink"),
                (shutil, "rmtree"),
            ):
                patch.setattr(owner, name, watched(getattr(owner, name)))
            for sharded, steps in ((True, 4), (False, 6), (True, 8)):
                last = Last(where, 1, keep=keep, sharded=sharded)
                while trainer.global_step < steps:
                    trainer.global_step += 1
                    last.save(trainer)
        kept[str(keep)] = _steps_in(where)
    # A run that goes on from an earlier step.
    trainer.global_step = 6
    last = Last(where, 1, keep=2, sharded=True)
    trainer.global_step = 7
    last.save(trainer)
    kept["back"] = _steps_in(where)
    # What kills have left goes with the next save.
    for name in (".last.ckpt.shards.partial", ".step_7.ckpt.removed.partial"):
        (where / name).mkdir()
        (where / name / "x").touch()
    (where / ".last.ckpt.abc.partial").touch()
    trainer.global_step = 9
    last.save(trainer)
    kept["cleaned"] = sorted(path.name for path in where.iterdir())
    kept["found"] = found
    return kept


def test_at_every_moment_a_whole_checkpoint_has_its_name(tmp_path: Path) -> None:
    (kept,) = run_distributed(_save_in_turns, 1, tmp_path)
    assert kept["1"] == {"last.ckpt": 8}
    assert kept["2"] == {"last.ckpt": 8, "step_7.ckpt": 7}
    assert kept["3"] == {"last.ckpt": 8, "step_6.ckpt": 6, "step_7.ckpt": 7}
    assert kept["back"] == {"last.ckpt": 7, "step_6.ckpt": 6}
    assert kept["cleaned"] == ["last.ckpt", "step_7.ckpt"]
    assert len(kept["found"]) > 50
    for step, current in kept["found"]:
        assert step in (current - 1, current)
