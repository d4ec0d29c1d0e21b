"""How Lightning writes and reads checkpoints: whole or not at all, and only finite ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from cyclip_pl.checkpoints.files import AVERAGED_FROM, read_weights
from cyclip_pl.checkpoints.places import Folder, split
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
        with self.noting():
            check_finite(learned(checkpoint), path, checkpoint.get("global_step"))
            _write(checkpoint, path)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Inside, what `save_on_all` has to tell all ranks is noted and not raised."""
        try:
            yield
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


def save_on_all(
    trainer: L.Trainer, path: str | Path, weights_only: bool = False, **options: Any
) -> str | None:
    """Save with `CheckpointFiles`; all ranks call this, and all learn whether it worked.

    Args:
        options: What `Trainer.save_checkpoint` takes besides.

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
        trainer.save_checkpoint(path, weights_only=weights_only, **options)
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
    needed = size_of(checkpoint)
    try:
        check_room(place, needed)
        place.write(name, lambda file: torch.save(checkpoint, file))
    except Exception as error:
        if (cause := os_error(error)) is None:
            raise
        raise cannot_write(path, needed, cause) from error


def check_room(place: Folder, needed: int) -> None:
    """Raise OSError unless that many bytes are left."""
    if (free := place.free()) is not None and free < needed:
        raise OSError("the disk is full")


def os_error(error: BaseException | None) -> OSError | None:
    """What the disk said; torch hides it under an error of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def cannot_write(path: str | Path, needed: int, cause: OSError) -> OSError:
    """One line for what the disk said: what is needed, and what is left."""
    why = cause.strerror or reason(cause)
    return OSError(f"{path}: cannot be written: {why}; it needs {_shown(needed)}{_left(path)}")


def _left(path: str | Path) -> str:
    """What is left on the disk of a file, the file's partial copy being gone."""
    try:
        free = split(path)[0].free()
    except OSError:
        return ""
    return "" if free is None else f", {_shown(free)} are left"


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def learned(checkpoint: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The weights, their average and the optimiser's state, named."""
    for part in ("state_dict", AVERAGED_FROM, "optimizer_states"):
        yield from _tensors(checkpoint.get(part), part)


def check_finite(named: Iterable[tuple[str, Tensor]], path: str | Path, step: int | None) -> None:
    """Raise ValueError, one line, for the first tensor that holds NaN or infinity."""
    for name, x in named:
        if not x.is_floating_point() or not x.numel():
            continue
        least, most = torch.aminmax(x.detach())  # several times as fast as isfinite().all()
        if not math.isfinite(least.item() + most.item()):
            raise ValueError(
                f"{path}: not written, because {name} is not finite at step {step}; lower"
                " optimizer.lr or raise scheduler.warmup_steps"
            )


def size_of(checkpoint: dict[str, Any]) -> int:
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
