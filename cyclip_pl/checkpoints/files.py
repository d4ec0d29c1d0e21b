"""Find and read checkpoints: only whole files, and without executing any code in them."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from cyclip_pl import weights
from cyclip_pl.checkpoints import shards
from cyclip_pl.checkpoints.places import Folder, fetched, folder, is_file, located, split
from cyclip_pl.files import reason
from cyclip_pl.signals import is_first_rank
from cyclip_pl.whole import damage

logger = logging.getLogger(__name__)

LAST = "last.ckpt"
# Where a checkpoint has the weights of the last step, if its `state_dict` is their average.
AVERAGED_FROM = "current_model_state"
# What `ContrastiveModule` writes; 1 for files without it. A change that earlier code would read
# wrongly takes the next number.
FORMAT = 1
_DEEPEST, _MOST_SETTINGS = 30, 100_000  # of a config that may come from a stranger
_EARLIER = re.compile(r"step_(\d+)\.ckpt")


class NotACheckpoint(ValueError):
    """There is none at a path, or the file there is of another kind."""


def earlier_name(step: int) -> str:
    """The name of the checkpoint of a step that is not the last one."""
    return f"step_{step}.ckpt"


def earlier_steps(place: Folder) -> list[int]:
    """The steps of the earlier checkpoints in a folder, in their order."""
    return sorted(int(m[1]) for name in place.names() if (m := _EARLIER.fullmatch(name)))


def is_checkpoint(path: str | Path) -> bool:
    """Whether there is a file or a sharded checkpoint; ValueError as of `is_file`."""
    return is_file(path) or shards.is_sharded(located(path))


def checkpoint_file(path: str | Path, setting: str = "checkpoint") -> Path | str:
    """The checkpoint at a path or URL: a file, a sharded one, or a run folder's newest whole one.

    That is `checkpoints/last.ckpt`; if it is damaged, a warning says so, and it is the one before.

    Raises:
        NotACheckpoint: There is none; names the setting and the path.
        ValueError: None is whole, or no installed package opens such a URL; likewise.
    """
    where = located(path)
    try:
        if is_checkpoint(where):
            return where
    except ValueError as error:
        raise ValueError(f"{setting}={error}") from error
    for place in (folder(f"{where}/checkpoints"), folder(where)):
        names = _newest_first(place)
        broken: list[str] = []
        for name in names:
            if (problem := _damage(place.at(name))) is None:
                for line in broken if is_first_rank() else ():
                    logger.warning("%s: damaged, so %s is used", line, place.at(name))
                return place.at(name)
            broken.append(f"{place.at(name)}: {problem}")
        if broken:
            raise ValueError(f"{setting}={path}: no checkpoint is whole ({'; '.join(broken)})")
    if isinstance(where, Path) and not where.is_dir():
        raise NotACheckpoint(f"{setting}={path}: not a file or a run folder")
    raise NotACheckpoint(f"{setting}={path}: the folder has no checkpoints/last.ckpt")


def read_weights(
    path: Path | str, mmap: bool = True, make: shards.Make = shards.all_rows
) -> dict[str, Any]:
    """Read a file of `torch.save`: tensors and plain containers, nothing else is unpickled.

    Args:
        path: A local file, a URL, or the folder of a sharded checkpoint.
        mmap: Read the tensors of a local file when they are first used, from the file as it is
            then.
        make: What is read of a sharded tensor.

    Raises:
        ValueError: Not such a file, or a damaged one; names it, and a whole one beside it.
    """
    try:
        place = located(path)
        if isinstance(place, Path) and shards.is_sharded(place):
            return shards.read(place, make)
        found = weights.read(str(path), fetched(path), mmap)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or reason(error)}") from error
    except weights.Damaged as error:
        raise ValueError(f"{error}{_instead(path)}") from error
    return found if isinstance(found, dict) else {}


def read_checkpoint(path: Path | str, make: shards.Make = shards.weights_alone) -> dict[str, Any]:
    """Read a checkpoint of ours: `state_dict` of tensors, `config` of plain containers, `scale`.

    Args:
        make: What is read of a sharded tensor.

    Raises:
        NotACheckpoint: A file of another kind; names it.
        ValueError: A damaged file, or one of a later format; likewise.
    """
    checkpoint = read_weights(path, make=make)
    if not {"state_dict", "config"} <= checkpoint.keys():
        raise NotACheckpoint(f"{path}: not a checkpoint of this project (no state_dict and config)")
    written = checkpoint.get("format", 1)
    if type(written) is not int or not 1 <= written <= FORMAT:
        raise ValueError(
            f"{path}: its format is {ascii(written)[:20]}, and this version reads up to {FORMAT};"
            " install a newer cyclip-pl"
        )
    if not isinstance(checkpoint.get("scale"), float):
        raise ValueError(f"{path}: not a checkpoint of this project (no scale)")
    for part in ("config", "state_dict"):
        if not isinstance(checkpoint[part], dict):
            raise ValueError(f"{path}: not a checkpoint of this project ({part} is not a dict)")
    if not _is_plain(checkpoint["config"]):
        raise ValueError(f"{path}: its config holds more than nested settings")
    return checkpoint


def _is_plain(config: Any) -> bool:
    """Whether these are settings as YAML has them, of a size that can be walked and shown."""
    left, seen = [(config, 0)], 0
    while left:
        node, depth = left.pop()
        seen += 1
        if depth > _DEEPEST or seen > _MOST_SETTINGS:
            return False
        if isinstance(node, dict):
            left += [(part, depth + 1) for pair in node.items() for part in pair]
        elif isinstance(node, list):
            left += [(part, depth + 1) for part in node]
        elif not isinstance(node, str | bool | int | float | None):
            return False
    return True


def step_of(path: Path | str) -> int | None:
    """The step at which a checkpoint was saved; None if there is none, or it is damaged."""
    try:
        there = is_checkpoint(path)
        step = read_weights(path, make=shards.shape_alone).get("global_step") if there else None
    except ValueError:
        return None
    return step if isinstance(step, int) else None


def _newest_first(place: Folder) -> list[str]:
    earlier = [earlier_name(step) for step in reversed(earlier_steps(place))]
    return [LAST, *earlier] if LAST in place.names() else earlier


def _damage(path: Path | str) -> str | None:
    place = located(path)
    if isinstance(place, Path) and shards.is_sharded(place):
        return shards.damage(place)
    try:
        return damage(fetched(path))
    except OSError as error:
        return reason(error)


def _instead(path: Path | str) -> str:
    """The end of an error about a damaged file: which one to use in its place."""
    place, own = split(path)
    others = (place.at(name) for name in _newest_first(place) if name != own)
    whole = next((other for other in others if _damage(other) is None), None)
    return "" if whole is None else f"; use {whole}"
