"""Models to export: every kind of network, with weights that are not those of the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.export.same import TEXTS, images
from cyclip_pl.projectors.base import Projector
from cyclip_pl.projectors.linear import Linear
from cyclip_pl.projectors.native import Native
from tests.helpers.architectures import RESNET, TIMM, VIT


def changed(
    base: dict[str, Any],
    vision: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """An open_clip config with other settings of its towers."""
    config = deepcopy(base) | rest
    config["vision_cfg"] = config["vision_cfg"] | (vision or {})
    config["text_cfg"] = config["text_cfg"] | (text or {})
    return config


ARCHITECTURES = {
    "vit": VIT,
    "resnet": RESNET,
    "timm": TIMM,
    "vit of timm": changed(TIMM, vision={"timm_model_name": "test_vit", "image_size": 160}),
    "convnext": changed(TIMM, vision={"timm_model_name": "test_convnext"}),
    "timm, attention pool": changed(
        TIMM,
        vision={"timm_model_name": "test_efficientnet", "timm_pool": "rot_attn", "timm_proj": ""},
    ),
    "timm, MLP": changed(TIMM, vision={"timm_proj": "mlp"}),
    "text of its own": changed(VIT, custom_text=True),
    "biased text projection": changed(VIT, text={"proj_bias": True}),
    "QuickGELU": changed(VIT, quick_gelu=True),
    "SigLIP's": changed(
        VIT,
        custom_text=True,
        text={"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
        init_logit_bias=-10.0,
        init_logit_scale=2.3,
    ),
    "vector for scale": changed(VIT, nonscalar_logit_scale=True),
    "patch dropout": changed(VIT, vision={"patch_dropout": 0.5}),
}


def trained(
    architecture: dict[str, Any],
    projector: Callable[[int], Projector] = Native,
    scale: float = 23.0,
    bias: float | None = None,
    image_size: int | None = None,
    **settings: Any,
) -> EmbeddingModel:
    """A model with weights and BatchNorm statistics that are not those of the start."""
    torch.manual_seed(0)
    size = image_size or architecture["vision_cfg"]["image_size"]
    encoder = DualEncoder(architecture, size, **settings)
    model = EmbeddingModel(encoder, projector(encoder.embed_dim), scale, bias)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model.eval()


@torch.inference_mode()
def assert_same(folder: Path, model: EmbeddingModel) -> None:
    """What open_clip alone reads from a folder computes what the model computes."""
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    network.eval()
    tokens = tokenizer(list(TEXTS))
    assert torch.equal(tokens, model.tokenizer(list(TEXTS)))
    theirs = torch.stack([preprocess(image) for image in images(model)])
    ours = torch.stack([model.preprocess(image) for image in images(model)])
    if ours.dtype == torch.uint8:
        ours = (ours - model.encoder.mean) / model.encoder.std
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
    for found, expected in (
        (network.encode_image(theirs), model.encode_image(ours)),
        (network.encode_text(tokens), model.encode_text(list(TEXTS))),
    ):
        torch.testing.assert_close(normalize(found, dim=-1), expected, rtol=0, atol=3e-6)
        assert (expected[0] - expected[1]).norm() > 1e-4, "the rows differ from one another"
    assert network.logit_scale.exp().item() == pytest.approx(model.scale, rel=1e-6)
    bias = network.logit_bias
    assert (bias is None) == (model.bias is None)
    assert bias is None or bias.item() == pytest.approx(model.bias)


def write_run(
    folder: Path, architecture: dict[str, Any], dim: int | None = None, **more: Any
) -> EmbeddingModel:
    """A run folder with a checkpoint and metrics of its step; returns the model in it.

    Args:
        dim: Width of a linear projector; None for none.
        more: Further entries of the checkpoint.
    """
    size = architecture["vision_cfg"]["image_size"]
    model = trained(architecture, Native if dim is None else lambda width: Linear(width, dim))
    name = "native.Native" if dim is None else "linear.Linear"
    config = {
        "encoder": {
            "_target_": "cyclip_pl.encoders.dual.DualEncoder",
            "architecture": architecture,
            "image_size": size,
        },
        "projector": {"_target_": f"cyclip_pl.projectors.{name}"} | ({"dim": dim} if dim else {}),
        "objective": {"_target_": "cyclip_pl.objectives.cyclip.CyCLIP", "lambda_in_modal": 0.25},
    }
    checkpoint = {
        "state_dict": model.state_dict(),
        "config": config,
        "scale": model.scale,
        "global_step": 7,
    }
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(checkpoint | more, folder / "checkpoints" / "last.ckpt")
    metrics = {"shapes/zero_shot/acc1": 0.5, "train/steps": 7}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return model
