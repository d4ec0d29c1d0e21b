"""Models from checkpoints of this project: a run folder or a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.checkpoints.files import AVERAGED_FROM, checkpoint_file, read_checkpoint
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.files import reason
from cyclip_pl.models.allowed import shown
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.filled import filled
from cyclip_pl.models.parts import part_of
from cyclip_pl.models.trust import Trust
from cyclip_pl.projectors.base import Projector
from cyclip_pl.weights import check_finite

WEIGHTS = ("saved", "raw")


def load_checkpoint(
    path: str | Path,
    device: torch.device | str = "cpu",
    trust: Trust = False,
    weights: str = "saved",
) -> EmbeddingModel:
    """Load the encoder and projector of a run, in evaluation mode and float32.

    Args:
        path: A run folder (its `checkpoints/last.ckpt`) or a checkpoint, also by URL.
        device, trust, weights: See `cyclip_pl.load`.

    Raises:
        ValueError: The checkpoint is missing, asks for what may not be built, does not fit its own
            config, or holds weights that are not finite.
    """
    checks.one_of("weights", weights, WEIGHTS)
    file = checkpoint_file(path)
    checkpoint = read_checkpoint(file)
    state = checkpoint["state_dict"]
    if weights == "raw":
        # Where a callback averages weights, these are the ones that it averaged.
        state = checkpoint.get(AVERAGED_FROM, state)
    tensors = _tensors(state, file)
    scale, bias = checkpoint["scale"], checkpoint.get("bias")
    try:
        make_encoder = part_of(checkpoint["config"], "encoder", DualEncoder, trust)
        make_projector = part_of(checkpoint["config"], "projector", Projector, trust)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error

    def build() -> EmbeddingModel:
        encoder = make_encoder()
        projector = make_projector(features=encoder.embed_dim)
        return EmbeddingModel(encoder, projector, scale, bias)

    try:
        # A package of the user's need not build without memory.
        model = filled(build, tensors, sketch=trust is False)
    except RuntimeError as error:
        raise ValueError(f"{file}: weights do not fit its config: {reason(error)}") from error
    except Exception as error:  # what its settings make open_clip and timm raise
        raise ValueError(f"{file}: {reason(error)}") from error
    step = checkpoint.get("global_step")
    check_finite(str(file), tensors, step if type(step) is int else None)
    if not 0 < scale < math.inf:
        raise ValueError(f"{file}: its scale is {scale}, not a number above 0")
    if bias is not None and not (isinstance(bias, float) and math.isfinite(bias)):
        raise ValueError(f"{file}: its bias is {shown(bias)}, not a finite number")
    return model.to(device).eval()


def _tensors(state: Any, file: Path | str) -> dict[str, Tensor]:
    """The tensors of the encoder and the projector."""
    found = {}
    for name, weight in state.items() if isinstance(state, dict) else ():
        if isinstance(name, str) and name.startswith(("encoder.", "projector.")):
            if not isinstance(weight, Tensor):
                raise ValueError(f"{file}: {shown(name)} is not a tensor")
            found[name] = weight
    return found
