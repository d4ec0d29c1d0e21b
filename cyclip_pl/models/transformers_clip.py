"""CLIP as Hugging Face's `transformers` saves it, without that library."""

from __future__ import annotations

from pathlib import Path

import torch

from cyclip_pl.encoders.transformers_files import read_transformers
from cyclip_pl.model_folder import ModelFolder
from cyclip_pl.models.open_clip_folder import build
from cyclip_pl.models.open_clip_model import OpenCLIPModel


def load_transformers_clip(folder: str | Path, device: torch.device | str = "cpu") -> OpenCLIPModel:
    """Load a CLIPModel of `transformers` as a network of open_clip, in evaluation mode and float32.

        model = load_transformers_clip("hf-hub:openai/clip-vit-base-patch32")

    Args:
        folder: What `save_pretrained` of the model and of its processor wrote: `config.json`,
            weights in one file, the image processor's settings, the tokenizer's vocabulary. Or
            `hf-hub:ORG/NAME`. It may come from a stranger: nothing in it is executed.
        device: Where to put the model.

    Raises:
        ValueError: A file is missing, or says what open_clip's network cannot express; one line.
    """
    files = ModelFolder("model.folder", str(folder))
    return build(files, read_transformers(files)).to(device).eval()
