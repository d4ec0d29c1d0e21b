"""A tower frozen but for its last layers: parameters, and statistics of BatchNorms."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cyclip_pl.encoders.dual import DualEncoder
from tests.helpers.architectures import RESNET, TEXT, TIMM, VIT
from tests.helpers.modules import small_batch

LONG_TEXT = {**VIT, "text_cfg": {**TEXT, "layers": 3}}


def _learning(encoder: DualEncoder, tower: str) -> set[str]:
    inside = {n for names in encoder.layers()[tower] for n in names}
    return {n for n, p in encoder.named_parameters() if p.requires_grad and n in inside}


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_the_last_groups_of_a_vision_transformer_learn(groups: int) -> None:
    encoder = DualEncoder(VIT, 32, lock_image=True, lock_image_unlocked_groups=groups)
    layers = encoder.layers()["image"]
    assert _learning(encoder, "image") == {n for names in layers[-groups:] for n in names}
    everything = {n for names in encoder.layers()["text"] for n in names}
    assert _learning(encoder, "text") == everything


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_layers_of_a_text_tower_learn(count: int) -> None:
    encoder = DualEncoder(LONG_TEXT, 32, lock_text=True, lock_text_unlocked_layers=count)
    layers = encoder.layers()["text"]
    assert _learning(encoder, "text") == {n for names in layers[-count:] for n in names}


def test_a_timm_network_keeps_the_statistics_of_what_is_frozen() -> None:
    torch.manual_seed(0)
    encoder = DualEncoder(TIMM, 32, lock_image=True, lock_image_unlocked_groups=2).train()
    layers = encoder.layers()["image"]  # frozen norms have buffers and no parameters
    learning = _learning(encoder, "image")
    assert learning == {n for names in layers[-3:] for n in names}, "and the projection"
    buffers = dict(encoder.named_buffers())
    before = {n: b.clone() for n, b in buffers.items() if n.endswith("running_mean")}
    encoder(small_batch())
    moved = {n for n, was in before.items() if not torch.equal(buffers[n], was)}
    assert moved and all(".layer3." in n or ".layer4." in n for n in moved)
    assert moved == {n for n in before if ".layer3." in n or ".layer4." in n}


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        (
            VIT,
            {"lock_image_unlocked_groups": 2},
            "=2: is of a locked tower; set encoder.lock_image=t",
        ),
        (
            VIT,
            {"lock_image": True, "lock_image_unlocked_groups": 0},
            "=0: must be null or a whole n",
        ),
        (VIT, {"lock_image": True, "lock_image_unlocked_groups": 9}, "=9: leaves nothing frozen"),
        (
            RESNET,
            {"lock_image": True, "lock_image_unlocked_groups": 1},
            "=1: this tower cannot be f",
        ),
        (
            VIT,
            {"lock_text_unlocked_layers": 1},
            "=1: is of a locked tower; set encoder.lock_text=t",
        ),
        (VIT, {"lock_text": True, "lock_text_unlocked_layers": 9}, "=9: leaves nothing frozen"),
    ],
)
def test_what_cannot_be_frozen_is_said(
    architecture: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    setting = next(name for name in settings if "unlocked" in name)
    with pytest.raises(ValueError, match=f"^encoder.{setting}{message}"):
        DualEncoder(architecture, 32, **settings)


def test_norms_with_an_activation_would_lose_it() -> None:
    network = {"timm_model_name": "test_efficientnet", "timm_proj": "linear", "image_size": 32}
    with pytest.raises(ValueError, match="^encoder.lock_image=true: .* BatchNormAct2d"):
        DualEncoder({**TIMM, "vision_cfg": network}, 32, lock_image=True)
