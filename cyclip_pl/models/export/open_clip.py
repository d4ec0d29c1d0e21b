"""The folder that plain open_clip loads: `local-dir:DIR`, or `hf-hub:ORG/NAME` once it is there."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.encoders.architectures import quiet_open_clip
from cyclip_pl.files import reason
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.export.plain import plain
from cyclip_pl.models.export.same import check_rows

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def write(model: ImageTextModel, folder: Path) -> list[str]:
    """Write a model for `open_clip.create_model_and_transforms("local-dir:DIR")`.

    Returns:
        What is not as it was trained, a sentence each.

    Raises:
        ValueError: open_clip has nothing that computes the same.
    """
    try:
        found = plain(model)
    except ValueError as error:
        raise ValueError(
            f"format=open_clip: {error}, so open_clip cannot hold it; use format=onnx"
        ) from error
    config = {"model_cfg": found.config, "preprocess_cfg": found.preprocess}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(found.weights, folder / WEIGHTS, metadata={"format": "pt"})
    if hasattr(found.tokenizer, "save_pretrained"):  # of Hugging Face; open_clip's own is built in
        found.tokenizer.save_pretrained(str(folder))
    _check(model, folder)
    return found.notes


def _check(model: ImageTextModel, folder: Path) -> None:
    """Read the folder back as a stranger would, and compare."""
    import open_clip

    name = f"local-dir:{folder}"
    try:
        with quiet_open_clip():
            network, _, preprocess = open_clip.create_model_and_transforms(name)
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # timm, open_clip and torch raise many types
        raise ValueError(
            f"format=open_clip: open_clip cannot build this network from a folder"
            f" ({reason(error)}); use format=onnx"
        ) from error
    theirs: Any = network.eval()

    def encode_images(images: Sequence[Image.Image]) -> Tensor:
        return normalize(theirs.encode_image(torch.stack([preprocess(i) for i in images])), dim=-1)

    def encode_texts(texts: Sequence[str]) -> Tensor:
        return normalize(theirs.encode_text(tokenizer(list(texts))), dim=-1)

    check_rows("open_clip", model, encode_images, encode_texts)
    bias = None if theirs.logit_bias is None else theirs.logit_bias.item()
    same = math.isclose(theirs.logit_scale.exp().item(), model.scale, rel_tol=1e-5)
    if not same or (bias is None) != (model.bias is None):
        raise ValueError("format=open_clip: the logit scale or its bias is lost")
