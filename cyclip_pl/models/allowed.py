"""What a checkpoint's config may have built: an allow-list of settings, and bounds of their sizes.

A config may come from a stranger, and open_clip, timm and transformers take settings that fetch
files, run code or fill the memory. The bounds are above every network that open_clip ships.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

# Raises ValueError, which begins with the name that it gets, unless it takes the value.
Rule = Callable[[str, Any], None]

_WORD_LENGTH = 64


def check_config(name: str, config: Any) -> None:
    """Raise ValueError, which names the key, unless open_clip may build this config."""
    _CONFIG(name, config)


def check_settings(settings: Mapping[str, Any], names: set[str], part: str) -> None:
    """Raise ValueError, which names the key, unless these settings of a part may be built.

    Args:
        names: What the constructor takes.
        part: `encoder` or `projector`.
    """
    for key, value in settings.items():
        if key not in names:
            raise ValueError(f"{part}.{shown(key)}: is not a setting of the {part}")
        _SETTINGS.get(key, _plain)(f"{part}.{key}", value)


def shown(value: Any) -> str:
    """A value of a stranger on one line: short, without control characters."""
    shown = reprlib.Repr()
    shown.maxlevel = 1
    shown.maxstring = shown.maxother = 40
    text = shown.repr(value)
    return ascii(text)[1:-1] if not text.isprintable() else text.strip("'")


def _refuse(name: str, value: Any, kind: str) -> None:
    raise ValueError(f"{name}={shown(value)}: must be {kind} in a checkpoint")


def _whole(most: int, least: int = 1) -> Rule:
    def check(name: str, value: Any) -> None:
        if type(value) is not int or not least <= value <= most:
            _refuse(name, value, f"a whole number from {least:,} to {most:,}")

    return check


def _number(most: float, least: float = 0) -> Rule:
    def check(name: str, value: Any) -> None:
        if type(value) not in (int, float) or not least <= value <= most:  # NaN is not between
            _refuse(name, value, f"a number from {least:g} to {most:g}")

    return check


def _switch(name: str, value: Any) -> None:
    if type(value) is not bool:
        _refuse(name, value, "true or false")


def _off(name: str, value: Any) -> None:
    if value is not False:
        _refuse(name, value, "false")


def _word(name: str, value: Any) -> None:
    """The name of a variant: open_clip and timm look it up among their own."""
    plain = isinstance(value, str) and value.replace("_", "").replace("-", "").isalnum()
    if value != "" and not (plain and value.isascii() and len(value) <= _WORD_LENGTH):
        _refuse(name, value, "a word")


def _plain(name: str, value: Any) -> None:
    if type(value) is bool or value is None:
        return
    if isinstance(value, str):
        return _word(name, value)
    _number(2**20, -(2**20))(name, value)


def _anything(name: str, value: Any) -> None:
    """It is not read."""


def _or_none(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if value is not None:
            rule(name, value)

    return check


def _list_of(rule: Rule, length: int) -> Rule:
    def check(name: str, value: Any) -> None:
        if isinstance(value, list | tuple):
            if len(value) != length:
                _refuse(name, value, f"one number or a list of {length}")
            for item in value:
                rule(name, item)
        else:
            rule(name, value)

    return check


def _three(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, list | tuple) or len(value) != 3:
            _refuse(name, value, "a list of three numbers")
        for item in value:
            rule(name, item)

    return check


def _node(rules: Mapping[str, Rule]) -> Rule:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            _refuse(name, value, "a node of settings")
        for key, entry in value.items():
            if key not in rules:
                raise ValueError(f"{name}.{shown(key)}: may not come from a checkpoint")
            rules[key](f"{name}.{key}", entry)

    return check


def _timm(name: str, value: Any) -> None:
    """A name of timm's registry, with or without the tag of its weights; not a hub or a folder."""
    from timm import is_model

    if not isinstance(value, str) or len(value) > _WORD_LENGTH or ":" in value or "/" in value:
        _refuse(name, value, "a name that timm knows")
    if not is_model(value.partition(".")[0]):
        _refuse(name, value, "a name that timm knows")


def _architecture(name: str, value: Any) -> None:
    """A name of open_clip's, whose config is checked like an inline one."""
    if isinstance(value, str):
        import open_clip

        if value not in open_clip.list_models():
            _refuse(name, value, "a name that open_clip knows")
        name, value = f"{name}={value}", open_clip.get_model_config(value)
    check_config(name, value)


_LAYERS = _whole(256)
_WIDTH = _whole(2**14)
_TOKENS = _whole(1024)  # the attention mask of a text tower is its square
_SIDE = _whole(1024)  # of an image in pixels
_RATIO = _number(64)
_SHARE = _number(1)
_SCALE = _or_none(_number(1000, -1000))
_ACT = _or_none(_node({"approximate": _word}))
_NORM = _or_none(_node({"eps": _SHARE, "elementwise_affine": _switch, "bias": _switch}))

# As `CLIPVisionCfg` and `CLIPTextCfg` of open_clip.
_BLOCK: dict[str, Rule] = {
    "width": _WIDTH,
    "mlp_ratio": _RATIO,
    "ls_init_value": _SCALE,
    "final_ln_after_pool": _switch,
    "pool_type": _word,
    "output_tokens": _switch,
    "act_kwargs": _ACT,
    "norm_kwargs": _NORM,
    "block_type": _or_none(_word),
    "qk_norm": _switch,
    "scaled_cosine_attn": _switch,
    "scale_heads": _switch,
    "scale_attn_inner": _switch,
    "scale_attn": _switch,
    "scale_fc": _switch,
}
_VISION: dict[str, Rule] = _BLOCK | {
    "layers": _list_of(_LAYERS, 4),
    "head_width": _WIDTH,
    "patch_size": _or_none(_list_of(_SIDE, 2)),
    "image_size": _list_of(_SIDE, 2),
    "patch_dropout": _SHARE,
    "attentional_pool": _plain,
    "attn_pooler_queries": _WIDTH,
    "attn_pooler_heads": _WIDTH,
    "no_ln_pre": _switch,
    "pos_embed_type": _word,
    "timm_model_name": _timm,
    "timm_model_pretrained": _off,
    "timm_pool": _word,
    "timm_proj": _or_none(_word),
    "timm_proj_bias": _switch,
    "timm_drop": _SHARE,
    "timm_drop_path": _or_none(_SHARE),
}
_TEXT: dict[str, Rule] = _BLOCK | {
    "layers": _LAYERS,
    "context_length": _TOKENS,
    "vocab_size": _whole(2**20),
    "heads": _WIDTH,
    "embed_cls": _switch,
    "pad_id": _whole(2**20, 0),
    "eos_id": _whole(2**20, 0),
    "no_causal_mask": _switch,
    "proj_bias": _switch,
    "proj_type": _word,
}
_CONFIG = _node(
    {
        "embed_dim": _WIDTH,
        "vision_cfg": _node(_VISION),
        "text_cfg": _node(_TEXT),
        "multimodal_cfg": _node(
            _TEXT | {"dim_head": _WIDTH, "n_queries": _WIDTH, "attn_pooler_heads": _WIDTH}
        ),
        "quick_gelu": _switch,
        "custom_text": _switch,
        "init_logit_scale": _SCALE,
        "init_logit_bias": _SCALE,
        "nonscalar_logit_scale": _switch,
    }
)
# Of encoders and projectors; `_plain` for all others.
_SETTINGS: dict[str, Rule] = {
    "architecture": _architecture,
    "image_size": _SIDE,
    "context_length": _or_none(_TOKENS),
    "pretrained": _anything,
    "patch_dropout": _SHARE,
    "quick_gelu": _or_none(_switch),
    "mean": _or_none(_three(_SHARE)),
    "std": _or_none(_three(_number(64, 1e-6))),
    "blocks": _LAYERS,
    "layers": _LAYERS,
    "depth": _LAYERS,
}
