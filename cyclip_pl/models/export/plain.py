"""A model as plain open_clip has it: its config, its weights, its preprocessing and tokenizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.export.fold import folded, linear_heads
from cyclip_pl.models.open_clip_model import OpenCLIPModel


@dataclass
class Plain:
    """What open_clip builds a model from.

    Attributes:
        config: open_clip's `model_cfg`.
        weights: float32 on the CPU, `logit_scale` and, where there is one, `logit_bias` included.
        preprocess: open_clip's `preprocess_cfg`.
        tokenizer: open_clip's.
        notes: What is not as it was trained, a sentence each.
    """

    config: dict[str, Any]
    weights: dict[str, Tensor]
    preprocess: dict[str, Any]
    tokenizer: Any
    notes: list[str] = field(default_factory=list)


def plain(model: ImageTextModel) -> Plain:
    """Express a model as one of open_clip's; linear heads are folded into the towers.

    Raises:
        ValueError: open_clip has nothing that computes the same; says what of the model it is.
    """
    if isinstance(model, OpenCLIPModel):
        if model.config is None:
            raise ValueError("its open_clip config is not known")
        weights = _state(model.network)
        preprocess = dict(model.network.visual.preprocess_cfg)
        config = _config(model.config, model.network)
        found = Plain(config, weights, preprocess, model.tokenizer)
    elif isinstance(model, EmbeddingModel):
        found = _of_encoder_and_projector(model)
    else:
        raise ValueError(f"it is a {type(model).__name__}, which open_clip does not have")
    _set_scale(found, model.scale, model.bias)
    return found


def _of_encoder_and_projector(model: EmbeddingModel) -> Plain:
    encoder, projector = model.encoder, model.projector
    network = encoder.model
    weights, notes = _state(network), []
    config = _config(encoder.config, network)
    heads = dict(zip(("image", "text"), linear_heads(projector), strict=True))
    for tower, matrix in heads.items():
        if not torch.equal(matrix, torch.eye(encoder.embed_dim, dtype=matrix.dtype).to(matrix)):
            weights = folded(weights, tower, matrix.cpu())
            notes.append(
                f"The projector's {tower} head is folded into the last layer of the tower."
            )
    config["embed_dim"] = heads["image"].shape[0]
    if projector.heads:
        extra = " and ".join(sorted(projector.heads))
        notes.append(f"The projector's heads for training ({extra}) are left out.")
    return Plain(config, weights, _preprocessing(model), encoder.tokenizer, notes)


def _preprocessing(model: EmbeddingModel) -> dict[str, Any]:
    """What `EmbeddingModel.preprocess` and the encoder's normalisation do, in open_clip's words."""
    theirs = model.encoder.model.visual.preprocess_cfg
    return {
        "size": model.encoder.image_size,
        "mode": "RGB",
        "mean": list(theirs["mean"]),
        "std": list(theirs["std"]),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }


def _config(config: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    from open_clip.transformer import QuickGELU

    plain_config = deepcopy(dict(config))
    # Of training, and the weights come with the model.
    plain_config["vision_cfg"].pop("patch_dropout", None)
    plain_config["vision_cfg"].pop("timm_model_pretrained", None)
    text = plain_config["text_cfg"]
    text.pop("hf_model_pretrained", None)
    tokenizer = Path(text.get("hf_tokenizer_name") or "")
    if tokenizer.is_absolute():  # a folder of this machine; the export holds its files
        text["hf_tokenizer_name"] = tokenizer.name
    plain_config.pop("quick_gelu", None)
    if any(isinstance(module, QuickGELU) for module in network.modules()):
        plain_config["quick_gelu"] = True
    return plain_config


def _state(network: nn.Module) -> dict[str, Tensor]:
    """Weights of a file: float32, one after the other, none shared."""
    return {
        name: weight.detach().cpu().to(torch.float32 if weight.is_floating_point() else None)
        .clone(memory_format=torch.contiguous_format)
        for name, weight in network.state_dict().items()
    }  # fmt: skip


def _set_scale(found: Plain, scale: float, bias: float | None) -> None:
    shape = (1,) if found.config.get("nonscalar_logit_scale") else ()
    found.config["init_logit_scale"] = math.log(scale)
    found.weights["logit_scale"] = torch.full(shape, math.log(scale))
    found.config.pop("init_logit_bias", None)
    found.weights.pop("logit_bias", None)
    if bias is not None:
        found.config["init_logit_bias"] = bias
        found.weights["logit_bias"] = torch.full(shape, bias)
