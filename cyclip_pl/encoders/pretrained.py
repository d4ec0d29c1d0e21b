"""The weights that a network starts from, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cyclip_pl.encoders import model_files, transformers_files
from cyclip_pl.encoders.model_files import ModelFiles
from cyclip_pl.files import reason
from cyclip_pl.model_folder import ModelFolder, is_model_folder
from cyclip_pl.weights import read_state

# Of OpenAI's own files, in which they are not weights; and a mask that every network makes itself.
NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}


class Pretrained(NamedTuple):
    """Weights, and the settings of the network that they were trained in, None where unknown.

    Attributes:
        state: The weights, by their names in the file.
        quick_gelu: Whether the network has OpenAI's activation.
        preprocess: Of open_clip's `PreprocessCfg`: what images went through; no size.
    """

    state: dict[str, Tensor]
    quick_gelu: bool | None = None
    preprocess: Mapping[str, Any] = {}


def read_pretrained(setting: str, name: str, pretrained: str) -> Pretrained:
    """Read the weights that a setting names.

    Args:
        name: The architecture, which open_clip knows.
        pretrained: A tag of it; a file, see `weights.read_state`; or a folder, see `read_folder`.

    Raises:
        ValueError: None of these, or a file that cannot be fetched or read; one line.
    """
    import open_clip

    named = f"{setting}={pretrained}"
    if tag := open_clip.get_pretrained_cfg(name, pretrained):
        state = read_state(named, _fetched(named, name, tag))
        return Pretrained(state, tag.get("quick_gelu"), _without_size(named, tag))
    if is_model_folder(pretrained):
        files = read_folder(ModelFolder(setting, pretrained))
        quick_gelu = files.config.get("quick_gelu") is True
        return Pretrained(files.state, quick_gelu, _without_size(named, files.preprocess))
    if Path(pretrained).is_file():
        return Pretrained(read_state(named, Path(pretrained)))
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
    raise ValueError(
        f"{setting}={pretrained}: not a file or a folder, and not a tag of {name} (tags: {tags})"
    )


def read_folder(folder: ModelFolder) -> ModelFiles:
    """Read a folder or a repository of open_clip, or of `transformers`' CLIPModel.

    Raises:
        ValueError: It is neither, or a file in it cannot be read; one line.
    """
    found = folder.find(model_files.CONFIG, transformers_files.CONFIG)
    if found is None:
        raise ValueError(
            f"{folder.named}: has neither {model_files.CONFIG} nor {transformers_files.CONFIG}"
        )
    if found.name == model_files.CONFIG:
        return model_files.read_open_clip(folder)
    return transformers_files.read_transformers(folder)


def read_config(folder: ModelFolder) -> dict[str, Any]:
    """Read open_clip's config of the network in such a folder, without its weights."""
    if folder.find(model_files.CONFIG) is not None:
        return model_files.read_config(folder)
    return transformers_files.read_config(folder)


def _fetched(named: str, name: str, tag: Mapping[str, Any]) -> Path:
    """The file of a tag, fetched unless it is in the cache."""
    import open_clip

    try:
        return Path(open_clip.download_pretrained(tag))
    except Exception as error:  # the servers' clients raise many types
        raise ValueError(
            f"{named}: the weights of {name} are not on this machine and cannot be fetched"
            f" ({reason(error)}); give a file"
        ) from error


def _without_size(named: str, preprocess: Mapping[str, Any]) -> dict[str, Any]:
    # The size is the network's, which may be built for another one.
    found = model_files.checked_preprocess(named, preprocess)
    return {key: value for key, value in found.items() if key != "size"}


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights as open_clip loads a file: names as it knows them, positions interpolated.

    A bias that its training with `--siglip` added to the architecture is added to the network.

    Raises:
        RuntimeError: A weight is missing, has another shape, or is left over.
    """
    from open_clip.model import resize_pos_embed, resize_text_pos_embed

    if "logit_bias" in state and getattr(network, "logit_bias", None) is None:
        network.logit_bias = nn.Parameter(torch.zeros([]))
    fitted = renamed(network, state)
    resize_pos_embed(fitted, network)
    resize_text_pos_embed(fitted, network)
    network.load_state_dict(fitted)


def renamed(network: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names of the network, if open_clip knows those that they have."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    weights = {name: weight for name, weight in state.items() if name not in NOT_WEIGHTS}
    if not hasattr(network, "text_decoder"):  # CoCa's, of which an encoder has the towers
        weights = {n: w for n, w in weights.items() if not n.startswith("text_decoder.")}
    weights = convert_state_dict(network, weights)
    if "positional_embedding" in weights and not hasattr(network, "positional_embedding"):
        weights = convert_to_custom_text_state_dict(weights)
    # transformers made these itself since 4.31.
    positions = "text.transformer.embeddings.position_ids"
    if positions not in network.state_dict():
        weights.pop(positions, None)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(network, name, None)
        if own is not None and name in weights:
            weights[name] = weights[name].reshape(own.shape)
        elif own is not None and name == "logit_bias":
            weights[name] = torch.zeros(own.shape)
    return weights
