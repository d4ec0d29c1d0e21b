"""Whether a run can be resumed from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from cyclip_pl.checkpoints.files import read_checkpoint

# The settings of an encoder that its weights depend on.
_SHAPES = ("image_size", "context_length", "architecture")


def check_resumable(path: Path, encoder: dict[str, Any]) -> None:
    """Raise ValueError, one line, unless a run with this encoder can be resumed from `path`."""
    checkpoint = read_checkpoint(path)
    if "optimizer_states" not in checkpoint:
        raise ValueError(f"resume={path}: has weights only, like best.ckpt; take last.ckpt")
    for setting in _SHAPES:
        trained = _leaves(checkpoint["config"]["encoder"].get(setting), setting)
        wanted = _leaves(encoder[setting], setting)
        for key in sorted(trained.keys() | wanted.keys()):
            was, now = trained.get(key, "unset"), wanted.get(key, "unset")
            if was != now:
                raise ValueError(
                    f"resume={path}: was trained with encoder.{key}={was}, this run has {now}"
                )


def check_weights(path: Path, module: nn.Module) -> None:
    """Raise ValueError, one line, unless the weights in `path` fit the module."""
    trained, wanted = read_checkpoint(path)["state_dict"], module.state_dict()
    for name in sorted(trained.keys() | wanted.keys()):
        was, now = (tuple(s[name].shape) if name in s else "none" for s in (trained, wanted))
        if was != now:
            raise ValueError(
                f"resume={path}: was trained with another {name.partition('.')[0]}: its {name} has"
                f" the shape {was}, this run's {now}"
            )


def _leaves(node: Any, name: str) -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(node, dict):
        return {name: node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= _leaves(value, f"{name}.{key}")
    return leaves
