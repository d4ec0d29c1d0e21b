"""Checkpoints of the CyCLIP authors' code (github.com/goel-shashank/CyCLIP), and OpenAI's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.encoders.architectures import quiet_open_clip
from cyclip_pl.encoders.pretrained import NOT_WEIGHTS
from cyclip_pl.files import reason
from cyclip_pl.models.allowed import check_config
from cyclip_pl.models.filled import filled
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.weights import check_finite, read_state

_HEAD_WIDTH = 64  # OpenAI's; the shapes of the weights do not show it


class OfOpenCLIP(ValueError):
    """A file that open_clip's training wrote."""


def load_official(path: str | Path, device: torch.device | str = "cpu") -> OpenCLIPModel:
    """Load a model as the authors saved it, in evaluation mode and float32.

    Their files hold `epoch`, `name`, `state_dict` and `optimizer`; OpenAI's are TorchScript
    archives. The weights have the names of OpenAI's CLIP, after `module.` if several GPUs trained.
    The architecture follows from the shapes: a ResNet or a Vision Transformer, and a text
    transformer, with QuickGELU as in OpenAI's code.

    Args:
        path: Such as `epoch_64.pt` or `ViT-B-32.pt`. It may come from a stranger: nothing in it is
            executed.
        device: Where to put the model.

    Raises:
        OfOpenCLIP: The file is of open_clip, and says too little of its network.
        ValueError: The file is missing, or is not such a checkpoint.
    """
    import open_clip

    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"model.path={path}: there is no such file")
    weights = read_state(str(file), file)
    state = {name: weight for name, weight in weights.items() if name not in NOT_WEIGHTS}
    if _of_open_clip(state):
        raise OfOpenCLIP(
            f"{file}: trained with open_clip, which does not save the architecture; give"
            f" open_clip:ARCHITECTURE/{file}"
        )
    try:
        config = architecture(state)
        check_config("shapes", config)
        with quiet_open_clip():
            network = filled(partial(open_clip.CLIP, **config, quick_gelu=True), state)
    except (LookupError, ArithmeticError, RuntimeError, ValueError, TypeError, AssertionError) as e:
        why = f"no {e}" if isinstance(e, KeyError) else reason(e)
        raise ValueError(f"{file}: not the weights of an OpenAI CLIP: {why}") from e
    check_finite(str(file), state)
    # OpenAI's: the shorter side resized bicubically, centre crop, OpenAI's mean and deviation.
    preprocess = open_clip.transform.PreprocessCfg(size=config["vision_cfg"]["image_size"])
    open_clip.set_model_preprocess_cfg(network, asdict(preprocess))
    tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    return OpenCLIPModel(network, tokenizer, config).to(device).eval()


def _of_open_clip(state: Mapping[str, Tensor]) -> bool:
    """Whether open_clip's code wrote the weights, which may be of a network without QuickGELU.

    The names are OpenAI's, but a block has its first norm before its attention.
    """
    return ".ln_1." in next((name for name in state if "transformer.resblocks.0." in name), "")


def architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """open_clip's configuration of the network that has these weights, named as OpenAI's.

    Raises:
        KeyError: A weight is missing that every such network has.
    """
    width = state["ln_final.weight"].shape[0]
    text = {
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state["token_embedding.weight"].shape[0],
        "width": width,
        "heads": width // _HEAD_WIDTH,
        "layers": _blocks(state, "transformer.resblocks."),
    }
    vision: dict[str, Any] = {"head_width": _HEAD_WIDTH}
    if "visual.proj" in state:
        patch = state["visual.conv1.weight"].shape[-1]
        grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        vision |= {
            "layers": _blocks(state, "visual.transformer.resblocks."),
            "width": state["visual.conv1.weight"].shape[0],
            "patch_size": patch,
            "image_size": patch * grid,
        }
    else:
        # A ResNet halves the sides five times; attention pools that grid, and one position more.
        grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
        vision |= {
            "layers": [_blocks(state, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)],
            "width": state["visual.layer1.0.conv1.weight"].shape[0],
            "image_size": 32 * grid,
        }
    width = state["text_projection"].shape[1]
    return {"embed_dim": width, "vision_cfg": vision, "text_cfg": text}


def _blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})
