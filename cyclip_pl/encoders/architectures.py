"""The network that a setting names: one of open_clip's, an inline config, or that of a folder."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from cyclip_pl.checks import did_you_mean
from cyclip_pl.encoders.pretrained import read_config
from cyclip_pl.model_folder import ModelFolder, has_prefix

Architecture = str | Mapping[str, Any]


# The settings of an encoder that depend on its architecture.
SETTLED = {"architecture", "image_size", "pretrained"}


def settled(settings: Mapping[str, Any], filled: bool = False) -> dict[str, Any]:
    """What a folder as `architecture` and null as `image_size` stand for, by name of the setting.

    `hf-hub:ORG/NAME` and `local-dir:FOLDER` are a network and its weights: the config that they
    hold is `architecture`, and they are `pretrained`.

    Args:
        settings: At least those of `SETTLED`.
        filled: The weights come from a checkpoint, so towers do not begin with their own.

    Raises:
        ValueError: Weights of another source as well; a folder that cannot be used; an image that
            is not square.
    """
    architecture, pretrained = settings["architecture"], settings["pretrained"]
    found: dict[str, Any] = {}
    if isinstance(architecture, str) and has_prefix(architecture):
        if pretrained is not None:
            raise ValueError(
                f"encoder.pretrained={pretrained}: encoder.architecture={architecture} has its"
                " weights with it; leave one of the two out"
            )
        folder = ModelFolder("encoder.architecture", architecture)
        found = {"architecture": read_config(folder), "pretrained": architecture}
        architecture = found["architecture"]
    if filled and (kept := without_own_weights(architecture)) is not architecture:
        found["architecture"] = kept
    if settings["image_size"] is None:
        found["image_size"] = _own_size(architecture)
    return found


def _own_size(architecture: Architecture) -> int:
    import open_clip

    name = registered_name(architecture)
    size = open_clip.get_model_config(name)["vision_cfg"].get("image_size") or 224
    sides = size if isinstance(size, list | tuple) else [size]
    if len(set(sides)) != 1:
        raise ValueError(
            f"encoder.image_size=null: {name} takes images of {size} pixels, which are not square;"
            " set encoder.image_size"
        )
    return sides[0]


def without_own_weights(architecture: Architecture) -> Architecture:
    """The same network, whose towers do not begin with weights that timm or Hugging Face has."""
    import open_clip

    config = open_clip.get_model_config(registered_name(architecture))
    if not own_weights(config):
        return architecture
    for part, key in (("vision_cfg", "timm_model"), ("text_cfg", "hf_model")):
        if config[part].get(f"{key}_name"):
            config[part][f"{key}_pretrained"] = False
    return config


def own_weights(config: Mapping[str, Any]) -> dict[str, bool]:
    """Arguments of `open_clip.create_model` for weights of timm's and of Hugging Face's.

    Empty if no tower begins with them, as the config says.
    """
    image, text = config["vision_cfg"], config["text_cfg"]
    found = {
        "pretrained_image": bool(image.get("timm_model_name"))
        and image.get("timm_model_pretrained", False),
        "pretrained_text": bool(text.get("hf_model_name"))
        and text.get("hf_model_pretrained", True),
    }
    return {name: own for name, own in found.items() if own}


def two_towers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The towers of CoCa without its decoder of captions, which no objective here trains."""
    towers = deepcopy(dict(config))
    del towers["multimodal_cfg"]
    for part in ("vision_cfg", "text_cfg"):
        towers[part].pop("output_tokens", None)
    return towers | {"custom_text": True}


def registered_name(architecture: Architecture) -> str:
    """A name that open_clip knows; an inline config is registered under its hash."""
    import open_clip

    if isinstance(architecture, str):
        check_architecture("encoder.architecture", architecture)
        return architecture
    config = deepcopy(dict(architecture))
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - config.keys()
    if missing:
        raise ValueError(
            f"encoder.architecture: an inline config also needs {', '.join(sorted(missing))}"
        )
    text = json.dumps(config, sort_keys=True)
    name = f"inline-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.json"
            path.write_text(text)
            open_clip.add_model_config(path)
    return name


def check_architecture(setting: str, name: str) -> None:
    """Raise ValueError unless open_clip knows the architecture."""
    import open_clip

    known = open_clip.list_models()
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"{setting}={name}: open_clip has no such architecture{hint}")


@contextmanager
def quiet_open_clip() -> Iterator[None]:
    """Silence open_clip, which logs each of its steps to the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
