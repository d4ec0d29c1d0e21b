"""CLIPModel of `transformers`, against that library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.open_clip import load_open_clip
from cyclip_pl.models.transformers_clip import load_transformers_clip
from tests.helpers.model_folders import MEAN, STD, write_transformers

TEXTS = ["a red apple", "a bus that says more than eight words on its side", "Ünïcode 12"]


def images() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = [(40, 56), (64, 34), (32, 32), (33, 91)]
    return [Image.fromarray(generator.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def features(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output


@pytest.mark.parametrize(
    ("text", "vision"),
    [
        ({}, {}),
        ({"hidden_act": "gelu", "eos_token_id": 2}, {"hidden_act": "gelu"}),
        ({"layer_norm_eps": 1e-2}, {"layer_norm_eps": 1e-3}),
    ],
    ids=["openai", "gelu", "eps"],
)
def test_embeddings_tokens_and_pixels_are_theirs(tmp_path: Path, text: Any, vision: Any) -> None:
    from transformers import CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    theirs = write_transformers(tmp_path, text, vision)
    model = load_transformers_clip(tmp_path)
    processor = CLIPImageProcessorPil.from_pretrained(tmp_path)
    tokenizer = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=8)
    batch = {key: torch.tensor(tokens[key]) for key in ("input_ids", "attention_mask")}
    pixels = processor(images(), return_tensors="pt")["pixel_values"]
    ours = torch.stack([model.preprocess(image) for image in images()])
    torch.testing.assert_close(ours, pixels, atol=1e-5, rtol=1e-5)
    # Behind the end of a text the two pad with other tokens, which nothing sees.
    for mine, other in zip(model.tokenizer(TEXTS), batch["input_ids"], strict=True):
        end = mine.argmax() + 1
        assert mine[:end].tolist() == other[:end].tolist()
    with torch.no_grad():
        image = features(theirs.get_image_features(pixel_values=pixels))
        torch.testing.assert_close(
            model.encode_image_and_features(ours)[1], image, atol=1e-5, rtol=1e-5
        )
        written = features(theirs.get_text_features(**batch))
        normal = written / written.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(model.encode_text(TEXTS), normal, atol=1e-5, rtol=1e-5)
    assert model.scale == pytest.approx(theirs.logit_scale.exp().item())
    assert not model.training and model.bias is None


def test_by_the_name_of_a_folder_and_as_a_start(tmp_path: Path) -> None:
    write_transformers(tmp_path, {}, {})
    wanted = load_transformers_clip(tmp_path).state_dict()
    found = load_open_clip(f"local-dir:{tmp_path}").state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    architecture = {
        "embed_dim": 12,
        "vision_cfg": {
            "layers": 2,
            "width": 16,
            "head_width": 8,
            "patch_size": 8,
            "image_size": 32,
            "mlp_ratio": 2.5,
        },
        "text_cfg": {
            "context_length": 8,
            "vocab_size": 49408,
            "width": 24,
            "heads": 3,
            "layers": 2,
            "mlp_ratio": 37.5 / 24,
        },
    }
    encoder = DualEncoder(architecture, 32, pretrained=str(tmp_path))
    assert encoder.settings["quick_gelu"] is True
    assert encoder.settings["mean"] == MEAN and encoder.settings["std"] == STD
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, wanted[f"network.{name}"]), name


def edited(folder: Path, file: str, **changes: Any) -> None:
    content = json.loads((folder / file).read_text())
    for name, value in changes.items():
        node = content
        *parents, key = name.split("__")
        for parent in parents:
            node = node[parent]
        node[key] = value
    (folder / file).write_text(json.dumps(content))


CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (CONFIG, {"model_type": "siglip"}, "model_type='siglip': of transformers, only clip"),
        (
            CONFIG,
            {"text_config__hidden_act": "gelu"},
            "hidden_act: must be quick_gelu or gelu, and",
        ),
        (CONFIG, {"text_config__eos_token_id": 7}, "eos_token_id: must be 49407"),
        (CONFIG, {"text_config__num_hidden_layers": 1}, "does not fit its config"),
        (CONFIG, {"text_config__num_attention_heads": 5}, "its heads do not divide"),
        (CONFIG, {"text_config__vocab_size": 49407}, "its tokenizer is not OpenAI's"),
        (CONFIG, {"vision_config__num_channels": 4}, "num_channels: must be 3"),
        (CONFIG, {"vision_config__hidden_size": -4}, "hidden_size: must be a whole number"),
        (CONFIG, {"vision_config__patch_size": [8, 8]}, "patch_size: must be a whole number"),
        (CONFIG, {"vision_config": 3}, "vision_config: is not a node"),
        (CONFIG, {"projection_dim": 10**9}, "embed_dim="),
        (PROCESSOR, {"do_center_crop": False}, "do_center_crop: must be true"),
        (PROCESSOR, {"size": {"shortest_edge": 40}}, "size and crop_size must be the 32 pixels"),
        (PROCESSOR, {"resample": 1}, "resample must be 2 or 3"),
        (PROCESSOR, {"rescale_factor": 1.0}, "rescale_factor 1/255"),
        (PROCESSOR, {"image_mean": [0.5]}, "mean=.*three numbers"),
        ("vocab.json", {"apple</w>": 3}, "its tokenizer is not OpenAI's"),
    ],
)
def test_what_cannot_be_expressed_is_named(
    tmp_path: Path, file: str, changes: Any, message: str
) -> None:
    write_transformers(tmp_path, {}, {})
    edited(tmp_path, file, **changes)
    with pytest.raises(ValueError, match=rf"^model\.folder={tmp_path}: .*{message}") as caught:
        load_transformers_clip(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (CONFIG, "has no config.json"),
        ("model.safetensors", "has no model.safetensors, in one file"),
        (PROCESSOR, "has no preprocessor_config.json"),
        ("vocab.json", "has no tokenizer.json or vocab.json"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, file: str, message: str) -> None:
    write_transformers(tmp_path, {}, {})
    (tmp_path / file).unlink()
    with pytest.raises(ValueError, match=message):
        load_transformers_clip(tmp_path)


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_transformers(tmp_path, {}, {})
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    save_file({**state, "text_model.pooler.weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="'text_model.pooler.weight': is not a weight of CLIPMod"):
        load_transformers_clip(tmp_path)
    name = "text_model.encoder.layers.0.self_attn.k_proj.bias"
    save_file({k: v for k, v in state.items() if k != name}, path)
    with pytest.raises(ValueError, match="q_proj.bias: has no keys and values"):
        load_transformers_clip(tmp_path)
