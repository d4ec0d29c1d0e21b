"""How Lightning writes and reads checkpoints: whole or not at all, and only finite ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from cyclip_pl.checkpoints.files import AVERAGED_FROM, read_weights
from cyclip_pl.checkpoints.places import split
from cyclip_pl.files import reason


class CheckpointFiles(CheckpointIO):
    """Writes beside the target, then renames; verifies what it reads.

    Raises:
        ValueError: A number in the checkpoint is not finite; or the file that is read is damaged.
        OSError: The file could not be written; names it, what is needed and what is left.
    """

    def __init__(self) -> None:
        self.caught: list[Exception] | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        try:
            _check_finite(checkpoint, path)
            _write(checkpoint, path)
        except (OSError, ValueError) as error:
            if self.caught is None:
                raise
            self.caught.append(error)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_weights(path, mmap=False)

    def remove_checkpoint(self, path: str | Path) -> None:
        place, name = split(path)
        place.remove(name)


def save_on_all(trainer: L.Trainer, path: str | Path, weights_only: bool = False) -> str | None:
    """Save with `CheckpointFiles`; all ranks call this, and all learn whether it worked.

    Returns:
        Why the file could not be written, one line; None if it stands.

    Raises:
        ValueError: On all ranks: a number in the checkpoint is not finite.
    """
    files = trainer.strategy.checkpoint_io
    assert isinstance(files, CheckpointFiles), "the Trainer needs plugins=[CheckpointFiles()]"
    # Only the first rank writes. If it raised there, the others would wait for it.
    caught: list[Exception] = []
    files.caught = caught
    try:
        trainer.save_checkpoint(path, weights_only=weights_only)
    finally:
        files.caught = None
    outcome = (isinstance(caught[0], ValueError), str(caught[0])) if caught else None
    outcome = trainer.strategy.broadcast(outcome)
    if outcome is None:
        return None
    fatal, problem = outcome
    if fatal:
        raise ValueError(problem)
    return problem


def _write(checkpoint: dict[str, Any], path: str | Path) -> None:
    place, name = split(path)
    needed = _size(checkpoint)
    try:
        if (free := place.free()) is not None and free < needed:
            raise OSError("the disk is full")
        place.write(name, lambda file: torch.save(checkpoint, file))
    except Exception as error:
        # torch hides the error of the file under one of its own.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is None:
            raise
        why = cause.strerror or reason(cause)
        left = _left(path)
        raise OSError(
            f"{path}: cannot be written: {why}; it needs {_shown(needed)}{left}"
        ) from error


def _left(path: str | Path) -> str:
    """What is left on the disk of a file, the file's partial copy being gone."""
    try:
        free = split(path)[0].free()
    except OSError:
        return ""
    return "" if free is None else f", {_shown(free)} are left"


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _check_finite(checkpoint: dict[str, Any], path: str | Path) -> None:
    for part in ("state_dict", AVERAGED_FROM, "optimizer_states"):
        for name, x in _tensors(checkpoint.get(part), part):
            if not x.is_floating_point() or not x.numel():
                continue
            least, most = torch.aminmax(x.detach())  # several times as fast as isfinite().all()
            if not math.isfinite(least.item() + most.item()):
                raise ValueError(
                    f"{path}: not written, because {name} is not finite at step"
                    f" {checkpoint.get('global_step')}; lower optimizer.lr or raise"
                    " scheduler.warmup_steps"
                )


def _size(checkpoint: dict[str, Any]) -> int:
    """Bytes of the tensors, each storage once, as in the file."""
    storages = (x.untyped_storage() for _, x in _tensors(checkpoint, ""))
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def _tensors(node: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _tensors(value, f"{name}.{key}")
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _tensors(value, f"{name}.{number}")
