"""The folder of a `transformers.CLIPModel`, for networks that it can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.files import reason
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.export.plain import Plain, plain
from cyclip_pl.models.export.same import check_rows
from cyclip_pl.models.export.vocabulary import END, START, is_openais, vocabulary

# What CLIPModel's own config can say of a tower; all else must be as open_clip's default is.
_SIZES = {"layers", "width", "mlp_ratio"}
_VISION = _SIZES | {"head_width", "patch_size", "image_size", "patch_dropout"}
_TEXT = _SIZES | {"heads", "context_length", "vocab_size", "eos_id", "pad_id"}
# open_clip's names of weights, and those of transformers.
_NAMES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1": "vision_model.embeddings.patch_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.transformer.resblocks": "vision_model.encoder.layers",
    "token_embedding": "text_model.embeddings.token_embedding",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "transformer.resblocks": "text_model.encoder.layers",
}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def write(model: ImageTextModel, folder: Path) -> list[str]:
    """Write a model for `transformers.CLIPModel.from_pretrained` and `CLIPProcessor`.

    Returns:
        What is not as it was trained, a sentence each.

    Raises:
        ValueError: CLIPModel cannot be this network; names the part.
    """
    if util.find_spec("transformers") is None:
        raise ValueError(
            "format=transformers: needs transformers: pip install 'cyclip-pl[transformers]'"
        )
    try:
        found = plain(model)
        _check_network(model, found)
    except ValueError as error:
        raise ValueError(
            f"format=transformers: {error}, so CLIPModel cannot hold it; use format=open_clip or"
            " format=onnx"
        ) from error
    _write_json(folder / "config.json", _config(found))
    _write_json(folder / "preprocessor_config.json", _preprocessing(found.preprocess))
    save_file(_weights(found.weights), folder / "model.safetensors", metadata={"format": "pt"})
    _write_tokenizer(folder, found.config["text_cfg"]["context_length"])
    _check(model, folder)
    return found.notes


def _check_network(model: ImageTextModel, found: Plain) -> None:
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    if "multimodal_cfg" in found.config:
        raise ValueError("it has a decoder of texts (CoCa)")
    vision, text = found.config["vision_cfg"], found.config["text_cfg"]
    if vision.get("timm_model_name"):
        raise ValueError(f"its image tower is a network of timm ({vision['timm_model_name']})")
    if isinstance(vision.get("layers"), list | tuple):
        raise ValueError("its image tower is a ResNet")
    if text.get("hf_model_name"):
        raise ValueError(f"its text tower is another one ({text['hf_model_name']})")
    for part, config, defaults, known in (
        ("image", vision, asdict(CLIPVisionCfg()), _VISION),
        ("text", text, asdict(CLIPTextCfg()), _TEXT),
    ):
        for key, value in config.items():
            if key not in known and value != defaults[key]:
                raise ValueError(f"its {part} tower has {key}={value}")
    if model.bias is not None:
        raise ValueError("it has a bias of the logits (SigLIP's)")
    if not is_openais(model.tokenizer):
        raise ValueError("its tokenizer is not OpenAI's")
    if found.preprocess["resize_mode"] != "shortest":
        raise ValueError(f"its images are resized by resize_mode={found.preprocess['resize_mode']}")


def _config(found: Plain) -> dict[str, Any]:
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = asdict(CLIPVisionCfg()) | found.config["vision_cfg"]
    text = asdict(CLIPTextCfg()) | found.config["text_cfg"]
    width = found.config["embed_dim"]
    activation = "quick_gelu" if found.config.get("quick_gelu") else "gelu"
    both = {"projection_dim": width, "hidden_act": activation, "layer_norm_eps": 1e-5}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": width,
        "logit_scale_init_value": found.config["init_logit_scale"],
        "torch_dtype": "float32",
        "vision_config": {
            **both,
            **_sizes(vision),
            "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": _side(vision["image_size"]),
            "patch_size": _side(vision["patch_size"]),
        },
        "text_config": {
            **both,
            **_sizes(text),
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "pad_token_id": text["vocab_size"] - 1,
        },
    }


def _sizes(tower: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": tower["width"],
        "intermediate_size": int(tower["width"] * tower["mlp_ratio"]),
        "num_hidden_layers": tower["layers"],
    }


def _side(size: Any) -> int:
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise ValueError(f"format=transformers: images and patches must be square, not {size}")
    return sides.pop()


def _preprocessing(theirs: Mapping[str, Any]) -> dict[str, Any]:
    side = _side(theirs["size"])
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 2 if theirs["interpolation"] == "bilinear" else 3,  # as Pillow numbers them
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(theirs["mean"]),
        "image_std": list(theirs["std"]),
    }


def _weights(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's weights under the names of CLIPModel."""
    found = {}
    for full_name, weight in theirs.items():
        name = full_name.removeprefix("text.")
        if name == "logit_scale":
            found[name] = weight.reshape(())
        elif name == "visual.proj":
            found["visual_projection.weight"] = weight.T.contiguous()
        elif name == "text_projection":
            found["text_projection.weight"] = weight.T.contiguous()
        else:
            start = next(n for n in _NAMES if name == n or name.startswith(f"{n}."))
            rest = name[len(start) :]
            if ".attn.in_proj_" in rest:
                before, kind = rest.split(".attn.in_proj_")
                for part, piece in zip("qkv", weight.chunk(3), strict=True):
                    new = f"{_NAMES[start]}{before}.self_attn.{part}_proj.{kind}"
                    found[new] = piece.contiguous()
                continue
            for old, new in _IN_BLOCK.items():
                rest = rest.replace(f".{old}.", f".{new}.")
            found[_NAMES[start] + rest] = weight
    return found


def _write_tokenizer(folder: Path, length: int) -> None:
    """Files of `CLIPTokenizer`; it pads with the end, which the text tower does not look behind."""
    tokens, merges = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    _write_json(folder / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **special}
    _write_json(folder / "tokenizer_config.json", settings)


def _check(model: ImageTextModel, folder: Path) -> None:
    """Read the folder back as a stranger would, and compare."""
    import transformers

    try:
        with _quiet():
            network = transformers.CLIPModel.from_pretrained(folder).eval()
            tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
            # Resized by Pillow; before transformers 5 this was the only one, without a suffix.
            name = "CLIPImageProcessorPil"
            kind = getattr(transformers, name, None) or transformers.CLIPImageProcessor
            processor = kind.from_pretrained(folder)
    except Exception as error:  # transformers and its parts raise many types
        raise ValueError(
            f"format=transformers: transformers cannot read what was written: {reason(error)}"
        ) from error

    def encode_images(images: Sequence[Image.Image]) -> Tensor:
        pixels = processor(list(images), return_tensors="pt")
        rows = network.visual_projection(network.vision_model(**pixels).pooler_output)
        return normalize(rows, dim=-1)

    def encode_texts(texts: Sequence[str]) -> Tensor:
        tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        rows = network.text_projection(network.text_model(**tokens).pooler_output)
        return normalize(rows, dim=-1)

    check_rows("transformers", model, encode_images, encode_texts)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and reports about weights; what is wrong shows in the embeddings."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
