"""The two towers as modules of one tensor each, which torch can export as graphs."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.export.same import TEXTS, pixels
from cyclip_pl.models.open_clip_model import OpenCLIPModel


class Tower(NamedTuple):
    """A tower to export.

    Attributes:
        module: One tensor → unit-norm rows (N, D); float32, on the CPU, in evaluation mode.
        input: The name of that tensor.
        example: Three rows of it.
    """

    module: nn.Module
    input: str
    example: Tensor


def towers(model: ImageTextModel) -> dict[str, Tower]:
    """`image`, of uint8 images (N, 3, H, W), RGB; and `text`, of int64 tokens (N, L)."""
    found = {
        "image": Tower(_ImageTower(_copy(model)), "images", _as_bytes(model, pixels(model))),
        "text": Tower(_TextTower(_copy(model)), "tokens", model.tokenizer(list(TEXTS))),
    }
    for tower in found.values():
        _empty_what_is_unused(tower)
    return found


class _ImageTower(nn.Module):
    def __init__(self, model: ImageTextModel) -> None:
        super().__init__()
        self.model = model
        # Our own models normalise uint8 themselves, open_clip's take normalised images.
        self.normalises = isinstance(model, OpenCLIPModel)
        mean, std = _mean_and_std(model)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        if self.normalises:
            images = (images - self.mean) / self.std
        return self.model.encode_image_and_features(images)[0]


class _TextTower(nn.Module):
    def __init__(self, model: ImageTextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.encode_tokens(tokens)


def _copy(model: ImageTextModel) -> ImageTextModel:
    shared = {id(model.tokenizer): model.tokenizer}  # slow to copy, and no graph holds it
    return deepcopy(model, shared).cpu().float().eval()


def _mean_and_std(model: ImageTextModel) -> tuple[Tensor, Tensor]:
    """Of the pixel values from 0 to 255, (3, 1, 1) each; of no use for our own models."""
    if not isinstance(model, OpenCLIPModel):
        return torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    theirs = model.network.visual.preprocess_cfg
    mean, std = (255 * torch.tensor(theirs[key]).view(3, 1, 1) for key in ("mean", "std"))
    return mean, std


def _as_bytes(model: ImageTextModel, images: Tensor) -> Tensor:
    """What a model's `preprocess` gives, as uint8: normalised images are turned back."""
    if images.dtype == torch.uint8:
        return images
    mean, std = _mean_and_std(model)
    return (images * std + mean).round().clamp(0, 255).to(torch.uint8)


def _empty_what_is_unused(tower: Tower) -> None:
    """Leave no values in the weights that a tower does not use, such as those of the other one."""
    parameters = list(tower.module.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        tower.module(tower.example).sum().backward()
    for parameter in parameters:
        if parameter.grad is None:
            parameter.data = parameter.data.new_empty(0)
        parameter.grad = None
        parameter.requires_grad_(False)
