"""Whether a run can go on from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from cyclip_pl.checkpoints.files import read_checkpoint

# Of an encoder's settings, those that its weights depend on.
_SHAPES = ("image_size", "context_length", "architecture")


def check_resumable(path: Path, encoder: dict[str, Any]) -> None:
    """Raise ValueError, one line, unless a run with this encoder can go on from `path`."""
    checkpoint = read_checkpoint(path)
    if "optimizer_states" not in checkpoint:
        raise ValueError(f"resume={path}: holds weights alone, as best.ckpt does; take last.ckpt")
    for setting in _SHAPES:
        trained = _leaves(checkpoint["config"]["encoder"].get(setting), setting)
        wanted = _leaves(encoder[setting], setting)
        for key in sorted(trained.keys() | wanted.keys()):
            was, now = trained.get(key, "unset"), wanted.get(key, "unset")
            if was != now:
                raise ValueError(
                    f"resume={path} was trained with encoder.{key}={was}, this run has {now}"
                )


def check_weights(path: Path, module: nn.Module) -> None:
    """Raise ValueError, one line, unless the weights in `path` fit the module."""
    trained, wanted = read_checkpoint(path)["state_dict"], module.state_dict()
    for name in sorted(trained.keys() | wanted.keys()):
        shapes = [tuple(s[name].shape) if name in s else "none" for s in (trained, wanted)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"resume={path} was trained with another {name.partition('.')[0]}: its {name} has"
                f" the shape {shapes[0]}, this run's {shapes[1]}"
            )


def _leaves(node: Any, name: str) -> dict[str, Any]:
    """Nested settings by their dotted names."""
    if not isinstance(node, dict):
        return {name: node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= _leaves(value, f"{name}.{key}")
    return leaves
