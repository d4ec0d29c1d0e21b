"""CyCLIP-PL: contrastive vision-language pre-training on PyTorch Lightning and Hydra."""

from __future__ import annotations

from typing import Any

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy: `import cyclip_pl` (and so `--help`) must not import torch.
    if name == "load":
        from cyclip_pl.models.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
