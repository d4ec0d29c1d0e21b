"""Find and read checkpoints, without executing any code in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cyclip_pl import weights


def checkpoint_file(path: str | Path, setting: str = "checkpoint") -> Path:
    """The checkpoint at `path`: a file, or `checkpoints/last.ckpt` of a run folder.

    Raises:
        ValueError: There is none; names the setting and the path.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path
    for candidate in (path / "checkpoints" / "last.ckpt", path / "last.ckpt"):
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise ValueError(f"{setting}={path}: the folder has no checkpoints/last.ckpt")
    raise ValueError(f"{setting}={path}: not a file or a run folder")


def read_weights(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save`: tensors and plain containers, nothing else is unpickled.

    Raises:
        ValueError: Not such a file; names it.
    """
    found = weights.read(str(path), path)
    return found if isinstance(found, dict) else {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours: `state_dict` of tensors, `config` of plain containers, `scale`.

    Raises:
        ValueError: Not such a file; names it.
    """
    checkpoint = read_weights(path)
    if not {"state_dict", "config"} <= checkpoint.keys():
        raise ValueError(f"{path}: not a checkpoint of this project (no state_dict and config)")
    if not isinstance(checkpoint.get("scale"), float):
        raise ValueError(f"{path}: not a checkpoint of this project (no scale)")
    return checkpoint
