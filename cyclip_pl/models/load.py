"""Load a trained model from a run folder or a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.files import reason
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.projectors.base import Projector


def load(path: str | Path, device: torch.device | str = "cpu") -> EmbeddingModel:
    """Load the encoder and projector of a run, in evaluation mode.

        model = cyclip_pl.load("runs/demo")
        image_ND = model.encode_image(torch.stack([model.preprocess(Image.open("cat.jpg"))]))
        text_MD = model.encode_text(["a cat", "a dog"])
        cosine_NM = image_ND @ text_MD.T

    Args:
        path: A run folder (its `checkpoints/last.ckpt`) or a checkpoint file. It may come from a
            stranger: only modules of this package are built from it, and nothing is unpickled.
        device: Where to put the model.

    Raises:
        ValueError: The checkpoint is missing, or does not fit its own config.
    """
    file = checkpoint_file(path)
    checkpoint = read_checkpoint(file)
    config, state = checkpoint["config"], checkpoint["state_dict"]
    make_encoder = _class(config, "encoder", DualEncoder, file)
    make_projector = _class(config, "projector", Projector, file)
    try:
        # The weights are in the checkpoint; the pretrained file they started from may be gone.
        encoder = make_encoder(pretrained=None)
        projector = make_projector(features=encoder.embed_dim)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    model = EmbeddingModel(encoder, projector, checkpoint["scale"])
    weights = {k: v for k, v in state.items() if k.startswith(("encoder.", "projector."))}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{file}: weights do not fit its config: {reason(error)}") from error
    return model.to(device).eval()


def _class(config: dict[str, Any], part: str, base: type, file: Path) -> Callable[..., Any]:
    """The class that the config names, with its settings; nothing nested is built."""
    settings = config.get(part)
    target = str(settings.get("_target_")) if isinstance(settings, dict) else "missing"
    module, _, name = target.rpartition(".")
    found = None
    if module.startswith(f"cyclip_pl.{part}s."):
        with suppress(ImportError, AttributeError):
            found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{file}: its {part} ({target}) is not a class of cyclip_pl.{part}s")
    assert isinstance(settings, dict)
    return partial(found, **{k: v for k, v in settings.items() if not str(k).startswith("_")})
