"""A small model of each source that `cyclip_pl.load` takes, as files on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.projectors.linear import Linear
from tests.helpers.architectures import VIT


def write_checkpoint(
    path: Path,
    encoder: dict[str, Any] | None = None,
    projector: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """A checkpoint of this project: the ViT of `architectures.py`, and rows of width 6."""
    torch.manual_seed(0)
    weights = {f"encoder.{k}": v for k, v in DualEncoder(VIT, 32).state_dict().items()}
    weights |= {f"projector.{k}": v for k, v in Linear(12, 6).state_dict().items()}
    config = {
        "encoder": {
            "_target_": "cyclip_pl.encoders.dual.DualEncoder",
            "architecture": VIT,
            "image_size": 32,
        }
        | (encoder or {}),
        "projector": {"_target_": "cyclip_pl.projectors.linear.Linear", "dim": 6}
        | (projector or {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": weights, "config": config, "scale": 20.0} | more, path)
    return path


def write_run(folder: Path) -> Path:
    """A run folder with that checkpoint."""
    write_checkpoint(folder / "checkpoints" / "last.ckpt")
    return folder


def as_openai_wrote(network: nn.Module) -> nn.Module:
    """With the parts of a block in the order of OpenAI's and the CyCLIP authors' code."""
    for block in network.modules():
        if isinstance(block, ResidualAttentionBlock):
            for name in ("attn", "ln_1", "mlp", "ln_2"):
                part = getattr(block, name)
                delattr(block, name)
                setattr(block, name, part)
    return network


def write_official(path: Path) -> Path:
    """As the CyCLIP authors save: OpenAI's names, heads 64 wide, images of 32 pixels."""
    vision = {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}
    text = {"context_length": 8, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    torch.manual_seed(0)
    network = as_openai_wrote(open_clip.CLIP(6, vision_cfg=vision, text_cfg=text, quick_gelu=True))
    state = {f"module.{name}": weight for name, weight in network.state_dict().items()}
    torch.save({"epoch": 64, "name": "cyclip", "state_dict": state, "optimizer": {}}, path)
    return path
