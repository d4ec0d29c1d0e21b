"""A trained model from a run folder or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint
from cyclip_pl.model import EmbeddingModel


def load(path: str | Path, device: torch.device | str = "cpu") -> EmbeddingModel:
    """The encoder and projector of a run, in evaluation mode.

    Args:
        path: a run folder (its `checkpoints/last.ckpt`) or a checkpoint file. It may come from a
            stranger: only modules of this package are built from it, and nothing is unpickled.
        device: where to put the model.

    Returns:
        A model with `encode_image`, `encode_text`, `preprocess`, `tokenizer` and `scale`.

    Raises:
        ValueError: no checkpoint there, or one that does not fit its own config.
    """
    file = checkpoint_file(path)
    checkpoint = read_checkpoint(file)
    config, state = checkpoint["config"], checkpoint["state_dict"]
    # The weights are in the checkpoint: what they once started from may be gone.
    encoder = _build(config, "encoder", file, pretrained=None)
    projector = _build(config, "projector", file)(features=encoder.embed_dim)
    scale = state.get("objective.logit_scale", torch.zeros(1)).exp().item()
    model = EmbeddingModel(encoder, projector, scale)
    weights = {k: v for k, v in state.items() if k.startswith(("encoder.", "projector."))}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{file}: weights do not fit its config: {reason}") from error
    return model.to(device).eval()


def _build(config: dict[str, Any], part: str, file: Path, **overrides: Any) -> Any:
    target = str(config.get(part, {}).get("_target_"))
    if not target.startswith(f"cyclip_pl.{part}s."):
        raise ValueError(f"{file}: its {part} is {target}, not a class of cyclip_pl.{part}s")
    nested = [k for k, v in config[part].items() if isinstance(v, dict) and _has_target(v)]
    if nested:
        raise ValueError(f"{file}: {part}.{nested[0]} names a _target_, which is not loaded")
    return instantiate({**config[part], **overrides})


def _has_target(node: Any) -> bool:
    if isinstance(node, dict):
        return "_target_" in node or any(_has_target(v) for v in node.values())
    return isinstance(node, list) and any(_has_target(v) for v in node)
