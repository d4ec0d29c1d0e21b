"""Which layer a parameter stands in, by the names of each kind of tower."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.encoders.layers import hidden_matrices, tower_layers
from tests.helpers.architectures import RESNET, TEXT, TIMM, VIT

CONVNEXT = {
    **TIMM,
    "vision_cfg": {"timm_model_name": "test_convnext", "timm_proj": "mlp", "image_size": 32},
}
CUSTOM_TEXT = {**VIT, "custom_text": True, "text_cfg": {**TEXT, "layers": 2}}

OF_IMAGE = {
    "vit": (
        VIT,
        ["conv1.weight", "positional_embedding", "class_embedding", "ln_pre.bias"],
        [
            ["transformer.resblocks.0.ln_1.weight"],
            ["transformer.resblocks.1.ln_2.bias", "ln_post.bias"],
        ],
        ["proj"],
    ),
    "resnet": (
        RESNET,
        ["conv1.weight", "bn3.bias"],
        [[f"layer{n}.0.conv1.weight", f"layer{n}.0.downsample.0.weight"] for n in (1, 2, 3, 4)],
        ["attnpool.q_proj.weight", "attnpool.positional_embedding", "attnpool.c_proj.bias"],
    ),
    "timm": (
        TIMM,
        ["trunk.conv1.0.weight", "trunk.bn1.bias"],
        [[f"trunk.layer{n}.0.conv1.weight", f"trunk.layer{n}.0.bn2.bias"] for n in (1, 2, 3, 4)],
        ["head.proj.weight"],
    ),
}


@pytest.mark.parametrize("name", OF_IMAGE)
def test_an_image_tower(name: str) -> None:
    architecture, stem, blocks, head = OF_IMAGE[name]
    encoder = DualEncoder(architecture, image_size=32)
    of = tower_layers(encoder.model)["image"]
    assert {f"visual.{n}" for n in stem} <= set(of.stem)
    assert {f"visual.{n}" for n in head} <= set(of.head)
    assert len(of.blocks) == len(blocks)
    for found, wanted in zip(of.blocks, blocks, strict=True):
        assert {f"visual.{n}" for n in wanted} <= set(found)
    listed = [n for layers in encoder.layers().values() for names in layers for n in names]
    assert sorted(listed) == sorted(n for n, _ in encoder.named_parameters()), "each one once"


@pytest.mark.parametrize(
    ("architecture", "prefix"), [(VIT, ""), (CUSTOM_TEXT, "text.")], ids=["plain", "custom"]
)
def test_a_text_tower(architecture: dict[str, Any], prefix: str) -> None:
    kind = open_clip.model.CustomTextCLIP if prefix else open_clip.model.CLIP
    model = kind(**{k: v for k, v in architecture.items() if k != "custom_text"})
    if not prefix:
        del model.logit_scale
    of = tower_layers(model)["text"]
    assert set(of.stem) == {
        f"{prefix}{n}" for n in ("token_embedding.weight", "positional_embedding")
    }
    assert len(of.blocks) == architecture["text_cfg"]["layers"]
    assert f"{prefix}ln_final.weight" in of.blocks[-1]
    assert all(f"{prefix}transformer.resblocks.{n}.ln_1.bias" in b for n, b in enumerate(of.blocks))
    assert of.head == [f"{prefix}text_projection"]


def test_hidden_matrices_are_those_of_linear_maps_in_blocks() -> None:
    model = DualEncoder(CONVNEXT, image_size=32).model
    of_image = {n for n in hidden_matrices(model) if n.startswith("visual.")}
    assert of_image and all(n.startswith("visual.trunk.stages.") for n in of_image)
    assert all(".mlp.fc" in n for n in of_image), of_image
    model = DualEncoder(RESNET, image_size=32).model
    assert not any(n.startswith("visual.") for n in hidden_matrices(model)), "convolutions"
    assert {n.split(".")[-2] for n in hidden_matrices(model)} == {
        "attn",
        "out_proj",
        "c_fc",
        "c_proj",
    }
