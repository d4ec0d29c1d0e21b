"""A model's folder in open_clip's terms, whichever library wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.model_folder import ModelFolder
from cyclip_pl.weights import read_state

CONFIG = "open_clip_config.json"
# In the order of open_clip.
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
)
_TOKENIZER = {"clean", "strip_sep_token", "language"}
_INTERPOLATIONS = ("bicubic", "bilinear")
_RESIZES = ("shortest", "longest", "squash")


class ModelFiles(NamedTuple):
    """What a model is made from.

    Attributes:
        config: open_clip's `model_cfg`, as the stranger wrote it: check it before you build it.
        preprocess: Of open_clip's `PreprocessCfg`: what images go through; checked.
        state: The weights by open_clip's names.
    """

    config: dict[str, Any]
    preprocess: dict[str, Any]
    state: dict[str, Tensor]


def read_open_clip(folder: ModelFolder) -> ModelFiles:
    """Read a folder of open_clip: `open_clip_config.json` and its weights.

    Raises:
        ValueError: A file is missing, or is not what its name says; one line.
    """
    config, preprocess = _node(folder, "model_cfg"), _node(folder, "preprocess_cfg", {})
    weights = folder.find(*_WEIGHTS)
    if weights is None:
        raise ValueError(f"{folder.named}: has no {_WEIGHTS[0]}")
    named = f"{folder.named}: {weights.name}"
    return ModelFiles(
        config, checked_preprocess(folder.named, preprocess), read_state(named, weights)
    )


def read_config(folder: ModelFolder) -> dict[str, Any]:
    """Read open_clip's config of the network, for a run of one's own.

    A tokenizer of Hugging Face is that of the folder, as it is for open_clip.

    Raises:
        ValueError: A file is missing, or asks for what a folder may not decide; one line.
    """
    config = _node(folder, "model_cfg")
    named = f"{folder.named}: {CONFIG}"
    for name in ("vision_cfg", "text_cfg"):
        if not isinstance(config.get(name), dict):
            raise ValueError(f"{named}: {name} is not a node of settings")
    text = config["text_cfg"]
    unknown = sorted(map(str, (text.get("tokenizer_kwargs") or {}).keys() - _TOKENIZER))
    if unknown:  # such as trust_remote_code
        raise ValueError(f"{named}: text_cfg.tokenizer_kwargs.{unknown[0]}: is not read")
    if text.get("hf_tokenizer_name") and folder.local is not None:
        text["hf_tokenizer_name"] = str(folder.local)
    return config


def _node(folder: ModelFolder, name: str, default: Any = None) -> dict[str, Any]:
    content = folder.json(CONFIG)
    if content is None:
        raise ValueError(f"{folder.named}: has no {CONFIG}")
    if not isinstance(node := content.get(name, default), dict):
        raise ValueError(f"{folder.named}: {CONFIG}: {name} is not a node of settings")
    return node


def checked_preprocess(named: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a stranger's settings that open_clip reads.

    Raises:
        ValueError: One that open_clip does not have.
    """
    known: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{named}: preprocess_cfg.{key}"
        if value is None or key not in _PREPROCESS:
            continue
        _PREPROCESS[key](name, value)
        known[key] = value
    return known


def _side(name: str, value: Any) -> None:
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    for side in sides:
        checks.whole(name, side)


def check_mean(name: str, value: Any) -> None:
    """Raise ValueError unless these are three numbers in [0, 1]."""
    _three(name, value)
    for one in value:
        checks.number(name, one, least=0, most=1)


def check_deviation(name: str, value: Any) -> None:
    """Raise ValueError unless these are three numbers above 0."""
    _three(name, value)
    for one in value:
        checks.number(name, one, above=0)


def _three(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        checks.refuse(name, value, "a list of three numbers")


def _colour(name: str, value: Any) -> None:
    checks.whole(name, value, least=0)


_PREPROCESS = {
    "size": _side,
    "mode": lambda name, value: checks.one_of(name, value, ["RGB"]),
    "mean": check_mean,
    "std": check_deviation,
    "interpolation": lambda name, value: checks.one_of(name, value, _INTERPOLATIONS),
    "resize_mode": lambda name, value: checks.one_of(name, value, _RESIZES),
    "fill_color": _colour,
}
