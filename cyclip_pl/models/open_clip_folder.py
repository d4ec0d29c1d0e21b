"""A folder or a repository that holds a whole model: open_clip's, or `transformers`' CLIPModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cyclip_pl.encoders.architectures import quiet_open_clip, registered_name
from cyclip_pl.encoders.model_files import ModelFiles
from cyclip_pl.encoders.pretrained import fill, read_folder, renamed
from cyclip_pl.files import reason
from cyclip_pl.model_folder import ModelFolder
from cyclip_pl.models.allowed import check_config
from cyclip_pl.models.filled import filled, sketched
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.weights import check_finite

_VOCABULARY = 49408  # tokens of CLIP's own tokenizer


def load_open_clip_folder(
    source: str, device: torch.device | str = "cpu", trust: bool = False
) -> OpenCLIPModel:
    """Load a model from a folder or from Hugging Face, in evaluation mode and float32.

        model = load_open_clip_folder("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K")

    Args:
        source: `hf-hub:ORG/NAME`, `local-dir:FOLDER` or a folder, with `open_clip_config.json` and
            its weights; or with the `config.json` of a CLIPModel of `transformers`. It may come
            from a stranger: the network is built by an allow-list, no larger than the weights.
        device: Where to put the model.
        trust: Build whatever the config names, such as a text tower or a tokenizer of Hugging Face.

    Raises:
        ValueError: A file is missing, or asks for what may not be built, or does not fit; one line.
    """
    folder = ModelFolder("model.name", str(source))
    return build(folder, read_folder(folder), trust).to(device).eval()


def build(folder: ModelFolder, files: ModelFiles, trust: bool = False) -> OpenCLIPModel:
    """Build the model of a folder; arguments and errors as above."""
    if not trust:
        _check(folder, files.config)
    try:
        with quiet_open_clip():
            network = _network(files, trust)
            tokenizer = _tokenizer(folder, files.config.get("text_cfg", {}))
    except Exception as error:  # what its settings make open_clip and timm raise
        raise ValueError(f"{folder.named}: does not fit its config: {reason(error)}") from error
    check_finite(folder.named, network.state_dict())
    return OpenCLIPModel(network, tokenizer, dict(files.config))


def _check(folder: ModelFolder, config: Mapping[str, Any]) -> None:
    text = config.get("text_cfg")
    text = text if isinstance(text, dict) else {}
    advice = "if you trust it, model.trust=true or load(…, trust=True)"
    if text.get("hf_tokenizer_name"):
        raise ValueError(
            f"{folder.named}: text_cfg.hf_tokenizer_name: a tokenizer of Hugging Face, which is"
            f" fetched and can run code; {advice}"
        )
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - config.keys()
    if missing:
        raise ValueError(f"{folder.named}: its config has no {', '.join(sorted(missing))}")
    try:
        check_config("model_cfg", config)
    except ValueError as error:
        raise ValueError(f"{folder.named}: {error}; {advice}") from error
    if text.get("vocab_size", _VOCABULARY) < _VOCABULARY:
        raise ValueError(
            f"{folder.named}: text_cfg.vocab_size={text['vocab_size']}: fewer than the"
            f" {_VOCABULARY} tokens of CLIP's tokenizer"
        )


def _network(files: ModelFiles, trust: bool) -> Any:
    import open_clip

    name = registered_name(files.config)

    def made() -> nn.Module:
        return open_clip.create_model(
            name,
            device=torch.get_default_device(),
            force_preprocess_cfg=files.preprocess,
            pretrained_image=False,
            pretrained_text=False,
        )

    if trust:
        network = made()
        fill(network, files.state)
        return network
    return filled(made, renamed(sketched(made), files.state))


def _tokenizer(folder: ModelFolder, text: Mapping[str, Any]) -> Any:
    import open_clip

    if text.get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(folder.open_clip_name)
    settings = text.get("tokenizer_kwargs", {})
    return open_clip.SimpleTokenizer(context_length=text.get("context_length", 77), **settings)
