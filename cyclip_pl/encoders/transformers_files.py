"""A folder of `transformers`' CLIPModel, in open_clip's terms: its settings and its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.encoders.model_files import ModelFiles, checked_preprocess
from cyclip_pl.encoders.transformers_tokens import check_vocabulary
from cyclip_pl.model_folder import ModelFolder
from cyclip_pl.weights import read_state

CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# `CLIPTextConfig` and `CLIPVisionConfig` write only what differs from these.
_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_ARGMAX = 2  # the eos_token_id of old files, which pool at the largest token, as open_clip does
_END = 49407

_RENAMED = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # so written there
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_TOWERS = {"text_model": "transformer", "vision_model": "visual.transformer"}
_LAYER = re.compile(r"(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_PARTS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def read_transformers(folder: ModelFolder) -> ModelFiles:
    """Read a folder of CLIPModel: `config.json`, its weights and its image processor's settings.

    Raises:
        ValueError: A file is missing, or says what open_clip's network cannot express; one line.
    """
    config = read_config(folder)
    side = config["vision_cfg"]["image_size"]
    preprocess = _preprocess(folder, side)
    check_vocabulary(folder, config["text_cfg"]["vocab_size"])
    weights = folder.find(*_WEIGHTS)
    if weights is None:
        raise ValueError(f"{folder.named}: has no {_WEIGHTS[0]}, in one file")
    named = f"{folder.named}: {weights.name}"
    return ModelFiles(config, preprocess, _state(named, read_state(named, weights)))


def read_config(folder: ModelFolder) -> dict[str, Any]:
    """Read open_clip's config of the network; errors as above."""
    settings = folder.json(CONFIG)
    if settings is None:
        raise ValueError(f"{folder.named}: has no {CONFIG}")
    return _config(f"{folder.named}: {CONFIG}", settings)


def _config(named: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    if settings.get("model_type") != "clip":
        kind = str(settings.get("model_type"))[:40]
        raise ValueError(f"{named}: model_type={kind!a}: of transformers, only clip is read")
    text = _tower(named, settings, "text", _TEXT)
    vision = _tower(named, settings, "vision", _VISION)
    if text["hidden_act"] != vision["hidden_act"] or text["hidden_act"] not in _ACTIVATIONS:
        raise ValueError(f"{named}: hidden_act: must be quick_gelu or gelu, and of both towers")
    if vision["num_channels"] != 3:
        raise ValueError(f"{named}: vision_config.num_channels: must be 3")
    if text["eos_token_id"] not in (_ARGMAX, _END):
        raise ValueError(f"{named}: text_config.eos_token_id: must be {_END}, as in OpenAI's")
    for name, tower in (("text", text), ("vision", vision)):
        if tower["hidden_size"] % tower["num_attention_heads"]:
            raise ValueError(f"{named}: {name}_config: its heads do not divide its hidden_size")
    return {
        "embed_dim": settings.get("projection_dim", 512),
        "quick_gelu": _ACTIVATIONS[text["hidden_act"]],
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "width": vision["hidden_size"],
            "layers": vision["num_hidden_layers"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": _ratio(vision),
            "norm_kwargs": {"eps": vision["layer_norm_eps"]},
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": _ratio(text),
            "norm_kwargs": {"eps": text["layer_norm_eps"]},
        },
    }


def _ratio(tower: Mapping[str, Any]) -> float:
    """What open_clip multiplies the width by, and cuts to a whole number."""
    width, inner = tower["hidden_size"], tower["intermediate_size"]
    ratio = inner / width
    return ratio if int(width * ratio) == inner else math.nextafter(ratio, math.inf)


def _tower(
    named: str, settings: Mapping[str, Any], tower: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a tower; the names in `_dict` are those of old files, and win."""
    found = dict(defaults)
    for key in (f"{tower}_config", f"{tower}_config_dict"):
        node = settings.get(key) or {}
        if not isinstance(node, dict):
            raise ValueError(f"{named}: {key}: is not a node of settings")
        found |= {name: node[name] for name in defaults if name in node}
    for name, value in found.items():
        if isinstance(defaults[name], int) and (type(value) is not int or value < 1):
            raise ValueError(f"{named}: {tower}_config.{name}: must be a whole number above 0")
    return found


def _preprocess(folder: ModelFolder, side: int) -> dict[str, Any]:
    """What `CLIPImageProcessor` does, if open_clip can: resize the short side, crop, normalise."""
    found = folder.json("preprocessor_config.json", "processor_config.json") or {}
    found = found.get("image_processor", found)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{folder.named}: has no preprocessor_config.json")
    for switch in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if found.get(switch, True) is not True:
            raise ValueError(f"{folder.named}: preprocessor_config.json: {switch}: must be true")
    size, crop = found.get("size", side), found.get("crop_size", side)
    if size not in (side, {"shortest_edge": side}) or crop not in (
        side,
        {"height": side, "width": side},
    ):
        raise ValueError(
            f"{folder.named}: preprocessor_config.json: size and crop_size must be the"
            f" {side} pixels of the network"
        )
    resample, factor = found.get("resample", 3), found.get("rescale_factor", 1 / 255)
    if resample not in _FILTERS or not isinstance(factor, float) or abs(factor * 255 - 1) > 1e-6:
        raise ValueError(
            f"{folder.named}: preprocessor_config.json: resample must be 2 or 3, and"
            " rescale_factor 1/255"
        )
    kept = {"mean": found.get("image_mean"), "std": found.get("image_std")}
    return checked_preprocess(folder.named, {**kept, "interpolation": _FILTERS[resample]})


def _state(named: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by open_clip's names; queries, keys and values are one matrix there."""
    renamed: dict[str, Tensor] = {}
    for name, weight in state.items():
        layer = _LAYER.fullmatch(name)
        if name in _RENAMED:
            renamed[_RENAMED[name]] = weight
        elif name in _TRANSPOSED:
            renamed[_TRANSPOSED[name]] = weight.T
        elif layer is not None and layer[3] in _PARTS:
            tower, number, part, kind = layer.groups()
            renamed[f"{_TOWERS[tower]}.resblocks.{number}.{_PARTS[part]}.{kind}"] = weight
        elif layer is not None and layer[3] in _ATTENTION:
            tower, number, part, kind = layer.groups()
            if part == _ATTENTION[0]:
                before = name.removesuffix(f"{part}.{kind}")
                parts = [state.get(f"{before}{one}.{kind}") for one in _ATTENTION]
                if any(one is None or one.shape != weight.shape for one in parts):
                    raise ValueError(f"{named}: {name}: has no keys and values of its shape")
                into = f"{_TOWERS[tower]}.resblocks.{number}.attn.in_proj_{kind}"
                renamed[into] = torch.cat([one for one in parts if one is not None])
        elif not name.endswith("embeddings.position_ids"):
            raise ValueError(f"{named}: {name[:60]!a}: is not a weight of CLIPModel")
    return renamed
