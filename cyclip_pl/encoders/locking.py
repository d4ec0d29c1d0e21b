"""Freeze a tower, or all but its last layers, by open_clip's own functions."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import BatchNorm2d

from cyclip_pl import checks
from cyclip_pl.files import reason


def lock_image(model: Any, unlocked_groups: int | None) -> None:
    """Freeze the image tower of an open_clip model, BatchNorm statistics included.

    Args:
        unlocked_groups: Its last groups that still learn, as open_clip counts them: the projection
            and then blocks of a Vision Transformer; groups of timm's, whose projection always
            learns. None: none.

    Raises:
        ValueError: The tower cannot be frozen, in part or at all; nothing would be frozen.
    """
    setting = f"encoder.lock_image_unlocked_groups={unlocked_groups}"
    tower: nn.Module = model.visual
    # open_clip would put a norm without activation in place of those that have one.
    for module in tower.modules():
        if isinstance(module, BatchNorm2d) and type(module) is not BatchNorm2d:
            raise ValueError(
                f"encoder.lock_image=true: open_clip cannot freeze this tower's"
                f" {type(module).__name__};"
                " set encoder.lock_image=false, or another architecture"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of timm, about open_clip's import
            model.lock_image_tower(unlocked_groups=unlocked_groups or 0, freeze_bn_stats=True)
    except Exception as error:  # an assertion, or what timm lacks
        raise ValueError(
            f"{setting}: this tower cannot be frozen in part: {reason(error)}"
        ) from error
    _check(setting, "encoder.lock_image", list(tower.parameters()))


def lock_text(model: Any, unlocked_layers: int | None) -> None:
    """Freeze the text tower of an open_clip model.

    Args:
        unlocked_layers: Its last layers that still learn, as open_clip counts them: the projection
            and then blocks. None: none.

    Raises:
        ValueError: Nothing would be frozen.
    """
    model.lock_text_tower(unlocked_layers=unlocked_layers or 0)
    rest = [p for name, p in model.named_parameters() if not name.startswith("visual.")]
    setting = f"encoder.lock_text_unlocked_layers={unlocked_layers}"
    _check(setting, "encoder.lock_text", rest)


def check_locked(setting: str, value: int | None, lock: str, locked: bool) -> None:
    """Raise ValueError for a number of layers, unless it is one and their tower is locked."""
    checks.whole(setting, value, optional=True)
    if value is not None and not locked:
        raise ValueError(f"{setting}={value}: is of a locked tower; set {lock}=true as well")


def _check(setting: str, lock: str, parameters: list[nn.Parameter]) -> None:
    if parameters and all(p.requires_grad for p in parameters):
        raise ValueError(f"{setting}: leaves nothing frozen; set a smaller number, or {lock}=false")
