"""Folders of open_clip, against open_clip itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from cyclip_pl.models.open_clip import load_open_clip
from cyclip_pl.models.open_clip_folder import load_open_clip_folder
from tests.helpers import hostile_files
from tests.helpers.architectures import RESNET, TIMM, VIT
from tests.helpers.http_server import hub
from tests.helpers.model_folders import STD, write_open_clip

TEXTS = ["a red apple", "a bus that says more than eight words on its side"]
CONFIGS: dict[str, dict[str, Any]] = {
    "resnet": RESNET,
    "vit": {**VIT, "quick_gelu": True},
    "timm": TIMM,
    # As SigLIP: a text tower of its own, a bias.
    "bias": {**VIT, "custom_text": True, "init_logit_scale": 2.3, "init_logit_bias": -10},
}


def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_gives_what_open_clip_gives(tmp_path: Path, name: str) -> None:
    squash = name == "bias"
    write_open_clip(
        tmp_path, CONFIGS[name], safe=name != "timm", resize_mode="squash" if squash else "shortest"
    )
    source = f"local-dir:{tmp_path}"
    theirs, _, preprocess = open_clip.create_model_and_transforms(source)
    theirs.eval()
    tokens = open_clip.get_tokenizer(source)(TEXTS)
    for model in (
        load_open_clip_folder(source),
        load_open_clip_folder(str(tmp_path)),
        load_open_clip(source),
    ):
        pixels = model.preprocess(image())
        assert torch.equal(pixels, preprocess(image()))
        assert torch.equal(model.tokenizer(TEXTS), tokens)
        with torch.no_grad():
            batch = pixels[None]
            wanted = theirs.encode_image(batch, normalize=True)
            assert torch.equal(model.encode_image(batch), wanted)
            assert torch.equal(model.encode_text(TEXTS), theirs.encode_text(tokens, normalize=True))
        assert model.scale == theirs.logit_scale.exp().item()
        assert model.bias == (-2.5 if name == "bias" else None)
        assert not model.training


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        node = content
        *parents, key = name.split("__")
        for parent in parents:
            node = node[parent]
        node[key] = value
    path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_cfg__text_cfg__hf_tokenizer_name": "x/y"}, "hf_tokenizer_name: a tokenizer of"),
        ({"model_cfg__text_cfg__hf_model_name": "x/y"}, "text_cfg.hf_model_name: may not come"),
        ({"model_cfg__vision_cfg__timm_model_name": "hf-hub:x/y"}, "timm_model_name="),
        ({"model_cfg__vision_cfg__timm_model_pretrained": True}, "timm_model_pretrained="),
        ({"model_cfg__vision_cfg__width": 10**9}, "vision_cfg.width="),
        ({"model_cfg__text_cfg__context_length": 1024}, "does not fit its config"),
        ({"model_cfg__vision_cfg__image_size": 1024}, "does not fit its config"),
        ({"model_cfg__vision_cfg__layers": 255}, "does not fit its config"),
        ({"model_cfg__text_cfg__vocab_size": 9}, "vocab_size=9: fewer than the 49408"),
        ({"model_cfg__text_cfg": 3}, "text_cfg=3: must be"),
        ({"model_cfg": {}}, "has no embed_dim, text_cfg, vision_cfg"),
        ({"model_cfg": [1]}, "model_cfg is not a node"),
        ({"preprocess_cfg": 1}, "preprocess_cfg is not a node"),
        ({"preprocess_cfg__mean": [0.5]}, "preprocess_cfg.mean=.*three numbers"),
        ({"preprocess_cfg__std": [0.5, 0, 1]}, "preprocess_cfg.std="),
        (
            {"preprocess_cfg__interpolation": "lanczos"},
            "preprocess_cfg.interpolation=lanczos: must",
        ),
        ({"preprocess_cfg__resize_mode": "tile"}, "preprocess_cfg.resize_mode=tile: must be"),
        ({"preprocess_cfg__mode": "CMYK"}, "preprocess_cfg.mode=CMYK: must be"),
        ({"preprocess_cfg__fill_color": -1}, "preprocess_cfg.fill_color=-1: must be"),
    ],
)
def test_a_stranger_cannot_ask_for_more(tmp_path: Path, changes: Any, message: str) -> None:
    write_open_clip(tmp_path, VIT)
    with pytest.raises(ValueError, match=rf"^model\.name={tmp_path}: .*{message}") as caught:
        load_open_clip_folder(str(edited(tmp_path, **changes)))
    assert "\n" not in str(caught.value)


def test_the_weights_are_a_strangers_too(tmp_path: Path) -> None:
    write_open_clip(tmp_path, VIT, safe=False)
    weights = tmp_path / "open_clip_pytorch_model.bin"
    for content in hostile_files.malicious().values():
        weights.write_bytes(content)
        with pytest.raises(ValueError, match=r"open_clip_pytorch_model\.bin: |does not fit"):
            load_open_clip_folder(str(tmp_path))
    assert not hostile_files.RAN


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^model\.name=local-dir:nowhere: there is no such fold"):
        load_open_clip_folder("local-dir:nowhere")
    with pytest.raises(ValueError, match="has neither open_clip_config.json nor config.json"):
        load_open_clip_folder(str(tmp_path))
    write_open_clip(tmp_path, VIT)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="has no open_clip_model.safetensors"):
        load_open_clip_folder(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text("{" * 100_000)
    with pytest.raises(ValueError, match="open_clip_config.json: not JSON"):
        load_open_clip_folder(str(tmp_path))
    with pytest.raises(ValueError, match=r"^model\.pretrained=openai: .* has its weights with it"):
        load_open_clip(f"local-dir:{tmp_path}", "openai")
    with pytest.raises(ValueError, match=r"^model\.pretrained=null: give a tag of RN50 \(openai"):
        load_open_clip("RN50")


def test_a_repository_is_fetched_once_and_then_in_the_cache(tmp_path: Path, monkeypatch) -> None:
    from huggingface_hub import constants

    folder = tmp_path / "repository"
    write_open_clip(folder, VIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    name = "hf-hub:somebody/tiny-clip"
    with hub("somebody/tiny-clip", folder, "model") as server:
        files = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        model = load_open_clip(name)
        files = {path.rpartition("/")[2] for path, _ in server.asked if "/resolve/" in path}
        assert files == {"open_clip_config.json", "open_clip_model.safetensors"}
        with pytest.raises(ValueError, match=r"^model\.name=hf-hub:somebody/none: cannot be fetch"):
            load_open_clip("hf-hub:somebody/none")
    # The server has gone.
    again = load_open_clip(name)
    wanted = load_open_clip_folder(str(folder))
    for one in (model, again):
        for key, value in wanted.state_dict().items():
            assert torch.equal(one.state_dict()[key], value)
        assert one.network.visual.preprocess_cfg["std"] == STD
    with pytest.raises(ValueError, match=r"^model\.name=.*other: .*not on this machine, and Hugg"):
        load_open_clip("hf-hub:somebody/other")
