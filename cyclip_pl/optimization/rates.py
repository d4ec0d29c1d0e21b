"""Factors of the learning rate: per tower, per layer, for the heads and for the scalars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from cyclip_pl import checks


@dataclass(frozen=True)
class Rates:
    """What `optimizer.lr` is multiplied by, for each part of a model.

    Args:
        image, text, projector, objective: Factors of the towers, the projector's heads and the
            objective's scalars, 0 or more.
        image_layer_decay, text_layer_decay: A layer learns at this factor, above 0 and at most 1,
            to the power of its depth below the last layer (BEiT, arXiv:2106.08254).

    Raises:
        ValueError: A factor out of its range.
    """

    image: float = 1.0
    text: float = 1.0
    projector: float = 1.0
    objective: float = 1.0
    image_layer_decay: float = 1.0
    text_layer_decay: float = 1.0

    def __post_init__(self) -> None:
        for name in ("image", "text", "projector", "objective"):
            checks.number(f"rates.{name}", getattr(self, name), least=0)
        for name in ("image_layer_decay", "text_layer_decay"):
            checks.number(f"rates.{name}", getattr(self, name), above=0, most=1)

    def parts(self, module: nn.Module) -> dict[str, tuple[str, float]]:
        """Each parameter of a module with encoder, projector and objective: its part, its factor.

        Raises:
            ValueError: The encoder does not say what its layers are.
        """
        found: dict[str, tuple[str, float]] = {}
        for tower, layers in of_encoder(module, "layers", "rates").items():
            decay, factor = getattr(self, f"{tower}_layer_decay"), getattr(self, tower)
            for number, names in enumerate(layers):
                part = tower if decay == 1 else f"{tower}_{number:02d}"
                rate = factor * decay ** (len(layers) - 1 - number)
                found |= {f"encoder.{name}": (part, rate) for name in names}
        for part in ("projector", "objective"):
            for name, _ in module.get_submodule(part).named_parameters():
                found[f"{part}.{name}"] = (part, getattr(self, part))
        return found


def of_encoder(module: nn.Module, method: str, setting: str) -> Any:
    """What the encoder says of its parameters; raises ValueError where it says nothing."""
    encoder = module.get_submodule("encoder")
    if not hasattr(encoder, method):
        raise ValueError(
            f"{setting}: {type(encoder).__name__} has no method {method}(), which says what its"
            " parameters are; see docs/training.md"
        )
    return getattr(encoder, method)()
