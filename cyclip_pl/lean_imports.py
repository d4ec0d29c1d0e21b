"""timm without the experiment tracker that its import brings along: commands begin sooner.

`timm.utils.summary` imports wandb where it is installed, for a log of trainings that nothing here
writes. That takes about as long as timm itself.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def import_timm() -> None:
    """Import timm as if wandb were not installed; afterwards wandb can be imported as always.

    For a command's own process: there `timm.utils.update_summary` cannot log to wandb.
    """
    if "timm" in sys.modules or "wandb" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules["wandb"] = None  # an import of it now raises ImportError
    try:
        import_module("timm")
    finally:
        del modules["wandb"]
