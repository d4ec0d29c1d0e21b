"""Load a trained model from a run folder or a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.files import reason
from cyclip_pl.models.allowed import check_settings, shown
from cyclip_pl.models.base import filled
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.projectors.base import Projector
from cyclip_pl.weights import check_finite

RAW = (
    "current_model_state"  # where Lightning's WeightAveraging keeps the weights behind the average
)


def load(
    path: str | Path,
    device: torch.device | str = "cpu",
    trust: bool = False,
    weights: str = "saved",
) -> EmbeddingModel:
    """Load the encoder and projector of a run, in evaluation mode.

        model = cyclip_pl.load("runs/demo")
        image_ND = model.encode_image(torch.stack([model.preprocess(Image.open("cat.jpg"))]))
        text_MD = model.encode_text(["a cat", "a dog"])
        cosine_NM = image_ND @ text_MD.T

    Args:
        path: A run folder (its `checkpoints/last.ckpt`) or a checkpoint file. It may come from a
            stranger: only modules of this package are built from it, with settings of an
            allow-list, no larger than the file; nothing is unpickled or fetched.
        device: Where to put the model.
        trust: Build whatever the config names, such as a text tower of Hugging Face, which is
            fetched and whose tokenizer can run code. For your own checkpoints.
        weights: `saved`, as evaluations saw them; or `raw`, those behind the average, of a run
            that averages its weights.

    Raises:
        ValueError: The checkpoint is missing, asks for what may not be built, does not fit its own
            config, or holds weights that are not finite.
    """
    file = checkpoint_file(path)
    checkpoint = read_checkpoint(file)
    state = _weights(_chosen(checkpoint, weights, file), file)
    config = checkpoint["config"]
    make_encoder = _class(config, "encoder", DualEncoder, file, trust)
    make_projector = _class(config, "projector", Projector, file, trust)
    scale, bias = checkpoint["scale"], checkpoint.get("bias")

    def build() -> EmbeddingModel:
        # The weights are in the checkpoint; the pretrained file they started from may be gone.
        encoder = make_encoder(pretrained=None)
        projector = make_projector(features=encoder.embed_dim)
        return EmbeddingModel(encoder, projector, scale, bias)

    try:
        model = filled(build, state, sketch=not trust)
    except RuntimeError as error:
        raise ValueError(f"{file}: weights do not fit its config: {reason(error)}") from error
    except Exception as error:  # what its settings make open_clip and timm raise
        raise ValueError(f"{file}: {reason(error)}") from error
    step = checkpoint.get("global_step")
    check_finite(str(file), state, step if type(step) is int else None)
    if not 0 < scale < math.inf:
        raise ValueError(f"{file}: its scale is {scale}, not a number above 0")
    if bias is not None and not (isinstance(bias, float) and math.isfinite(bias)):
        raise ValueError(f"{file}: its bias is {shown(bias)}, not a finite number")
    return model.to(device).eval()


def _chosen(checkpoint: dict[str, Any], weights: str, file: Path | str) -> Any:
    checks.one_of("weights", weights, ("saved", "raw"))
    if weights == "saved":
        return checkpoint["state_dict"]
    if RAW not in checkpoint:
        raise ValueError(f"weights=raw: {file} holds no averaged weights, so take weights=saved")
    return checkpoint[RAW]


def _weights(state: Any, file: Path | str) -> dict[str, Tensor]:
    """The tensors of the encoder and the projector."""
    found = {}
    for name, weight in state.items() if isinstance(state, dict) else ():
        if isinstance(name, str) and name.startswith(("encoder.", "projector.")):
            if not isinstance(weight, Tensor):
                raise ValueError(f"{file}: {shown(name)} is not a tensor")
            found[name] = weight
    return found


def _class(config: Any, part: str, base: type, file: Path | str, trust: bool) -> Callable[..., Any]:
    """The class that the config names, with its settings; nothing nested is built."""
    settings = config.get(part) if isinstance(config, dict) else None
    target = settings.get("_target_") if isinstance(settings, dict) else "missing"
    module, _, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
    found = None
    if module.startswith(f"cyclip_pl.{part}s."):
        with suppress(ImportError, AttributeError, ValueError):
            found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(
            f"{file}: its {part} ({shown(target)}) is not a class of cyclip_pl.{part}s"
        )
    assert isinstance(settings, dict)
    settings = {
        key: value
        for key, value in settings.items()
        if not (isinstance(key, str) and key.startswith("_"))
    }
    if not trust:
        try:
            check_settings(settings, set(signature(found).parameters) - {"features"}, part)
        except ValueError as error:
            raise ValueError(
                f"{file}: {error}; if it is your own, model.trust=true or load(…, trust=True)"
            ) from error
    return partial(found, **settings)
