"""Folders of models as other libraries write them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def open_clip_network(config: Mapping[str, Any], **settings: Any) -> nn.Module:
    """A network of an inline config, with a scale and a bias of its own."""
    torch.manual_seed(0)
    kind = open_clip.CustomTextCLIP if "init_logit_bias" in config else open_clip.CLIP
    config = {key: value for key, value in config.items() if key != "custom_text"}
    network = kind(**json.loads(json.dumps(config)), **settings).eval()
    network.logit_scale.data.fill_(3.0)
    if network.logit_bias is not None:
        network.logit_bias.data.fill_(-2.5)
    for name, weight in network.named_parameters():
        if name.endswith("bn3.weight"):  # zero at first, which would hide the blocks
            torch.nn.init.normal_(weight)
    return network


def write_open_clip(
    folder: Path, config: Mapping[str, Any], safe: bool = True, **preprocess: Any
) -> nn.Module:
    """A folder as `open_clip.push_to_hf_hub` writes it, and its network."""
    from open_clip.push_to_hf_hub import save_for_hf

    class NoFiles:
        def save_pretrained(self, folder: Path) -> None: ...

    network = open_clip_network(config)
    settings = {"mean": MEAN, "std": STD, **preprocess}
    open_clip.set_model_preprocess_cfg(network, settings)
    save_for_hf(network, NoFiles(), dict(config), str(folder), safe_serialization=safe)
    return network


def write_vocabulary(folder: Path) -> None:
    """OpenAI's vocabulary, as `transformers` saves it."""
    encoder = open_clip.SimpleTokenizer().encoder
    tokens = sorted(encoder, key=encoder.__getitem__)
    tokens[-2:] = ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    with gzip.open(
        Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", "rt"
    ) as merges:
        lines = merges.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")


def write_transformers(folder: Path, text: Mapping[str, Any], vision: Mapping[str, Any]) -> Any:
    """A folder of `transformers`' CLIPModel and CLIPImageProcessor, and its model."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**TEXT, **text}, vision_config={**VISION, **vision}, projection_dim=12
    )
    model = CLIPModel(config).eval()
    for weight in model.parameters():  # as if trained: biases and norms are not 0 and 1
        weight.data += 0.05 * torch.randn_like(weight)
    model.save_pretrained(folder)
    side = config.vision_config.image_size
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    processor.image_mean, processor.image_std = MEAN, STD
    processor.save_pretrained(folder)
    write_vocabulary(folder)
    return model


TEXT = {
    "hidden_size": 24,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 8,
    "eos_token_id": 49407,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
