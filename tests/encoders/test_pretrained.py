"""What pretrained weights say of the network: its activation, its pixels, its scale."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

import cyclip_pl
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.open_clip import load_open_clip
from cyclip_pl.projectors.linear import Linear
from tests.helpers.architectures import RESNET, VIT
from tests.helpers.model_folders import MEAN, STD, open_clip_network, write_open_clip


def activations(network: nn.Module) -> set[str]:
    return {type(m).__name__ for m in network.modules() if "GELU" in type(m).__name__}


@pytest.fixture
def tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `tiny-tag` has as `mine`; its file holds weights of a scale of e³."""
    (tmp_path / "tiny-tag.json").write_text(json.dumps(VIT))
    open_clip.add_model_config(tmp_path / "tiny-tag.json")
    file = tmp_path / "tag.pt"
    torch.save(open_clip_network(VIT).state_dict(), file)
    made: dict[str, Any] = {"url": "there"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-tag", {"mine": made})
    for module in (open_clip, open_clip.factory):
        monkeypatch.setattr(module, "download_pretrained", lambda *_, **__: str(file))
    return made


@pytest.mark.parametrize("quick", [True, False])
def test_a_tag_decides_the_activation_unless_it_is_typed(tag: dict[str, Any], quick: bool) -> None:
    tag["quick_gelu"] = quick
    named = {True: {"QuickGELU"}, False: {"GELU"}}
    encoder = DualEncoder("tiny-tag", 32, pretrained="mine")
    assert activations(encoder) == activations(load_open_clip("tiny-tag", "mine")) == named[quick]
    assert encoder.settings["quick_gelu"] is quick
    typed = DualEncoder("tiny-tag", 32, pretrained="mine", quick_gelu=not quick)
    assert activations(typed) == named[not quick]
    assert activations(DualEncoder("tiny-tag", 32)) == {"GELU"}
    own = DualEncoder({**VIT, "quick_gelu": True}, 32)
    assert activations(own) == {"QuickGELU"} and own.settings == {}
    assert activations(DualEncoder({**VIT, "quick_gelu": True}, 32, quick_gelu=False)) == {"GELU"}


@pytest.mark.filterwarnings("ignore:QuickGELU mismatch")
def test_a_checkpoint_builds_what_its_weights_decided(tag: dict[str, Any], tmp_path: Path) -> None:
    tag |= {"quick_gelu": True, "mean": MEAN, "std": STD}
    encoder = DualEncoder("tiny-tag", 32, pretrained="mine").eval()
    target = "cyclip_pl.encoders.dual.DualEncoder"
    settings = {"_target_": target, "architecture": VIT, "image_size": 32, "pretrained": "gone"}
    projector = {"_target_": "cyclip_pl.projectors.linear.Linear", "_partial_": True, "dim": 6}
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {f"projector.{k}": v for k, v in Linear(12, 6).state_dict().items()}
    for kept in (encoder.settings, {}):
        config = {"encoder": settings | kept, "projector": projector}
        torch.save({"state_dict": state, "config": config, "scale": 1.0}, tmp_path / "x.ckpt")
        model = cyclip_pl.load(tmp_path / "x.ckpt").encoder
        images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        same = torch.equal(model.encode_image(images), encoder.encode_image(images))
        # A checkpoint from before these settings is that of a network of GELU.
        assert same is bool(kept)
        assert activations(model) == ({"QuickGELU"} if kept else {"GELU"})


@pytest.mark.parametrize("kind", ["safetensors", "torch.save", "old", "TorchScript", "DDP"])
def test_a_file_of_any_format(tmp_path: Path, kind: str) -> None:
    network = open_clip_network(RESNET)
    state, path = network.state_dict(), tmp_path / "weights.pt"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path := tmp_path / "weights.safetensors")
    elif kind == "DDP":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 1}, path)
    elif kind == "TorchScript":
        inputs = torch.zeros(1, 3, 32, 32), torch.zeros(1, 8, dtype=torch.long)
        torch.jit.save(torch.jit.trace(network, inputs, check_trace=False), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind != "old")
    encoder = DualEncoder(RESNET, 32, pretrained=str(path))
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert encoder.pretrained_scale == pytest.approx(math.exp(3)) and not encoder.pretrained_bias
    assert encoder.settings["quick_gelu"] is False


def test_a_folder_says_what_its_weights_were_trained_in(tmp_path: Path) -> None:
    config = {**VIT, "custom_text": True, "init_logit_bias": -10, "quick_gelu": True}
    network = write_open_clip(tmp_path, config)
    architecture = {key: value for key, value in config.items() if key != "quick_gelu"}
    encoder = DualEncoder(architecture, 32, pretrained=f"local-dir:{tmp_path}")
    assert encoder.settings == {"quick_gelu": True, "mean": MEAN, "std": STD}
    assert encoder.pretrained_scale == pytest.approx(math.exp(3))
    assert encoder.pretrained_bias == -2.5
    assert torch.allclose(encoder.mean.flatten(), 255 * torch.tensor(MEAN))
    state = network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in encoder.model.state_dict().items())
    typed = DualEncoder(architecture, 32, pretrained=str(tmp_path), mean=[0.1, 0.2, 0.3])
    assert typed.settings["mean"] == [0.1, 0.2, 0.3] and typed.settings["std"] == STD
    with pytest.raises(ValueError, match=r"^encoder\.pretrained=.*: does not fit inline-"):
        DualEncoder(RESNET, 32, pretrained=str(tmp_path))


def test_positions_are_interpolated_to_another_size(tmp_path: Path) -> None:
    """As open_clip does: the same as from its own reader."""
    state = open_clip_network(VIT).state_dict()
    torch.save(state, tmp_path / "x.pt")
    encoder = DualEncoder(VIT, 48, context_length=5, pretrained=str(tmp_path / "x.pt"))
    (tmp_path / "tiny-resized.json").write_text(json.dumps(VIT))
    open_clip.add_model_config(tmp_path / "tiny-resized.json")
    theirs = open_clip.create_model(
        "tiny-resized", str(tmp_path / "x.pt"), force_image_size=48, force_context_length=5
    ).state_dict()
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize(
    ("setting", "value"), [("mean", [0.5]), ("mean", [0.1, 0.2, 3]), ("std", [0.1, 0, 0.1])]
)
def test_pixels_are_three_numbers(setting: str, value: list[float]) -> None:
    with pytest.raises(ValueError, match=rf"^encoder\.{setting}="):
        DualEncoder(VIT, 32, **{setting: value})
