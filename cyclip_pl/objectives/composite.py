"""A weighted sum of objectives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.objectives.base import Objective
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class Composite(Objective):
    """total = Σ weight · total of the objective.

    Each objective keeps its learnable scalars. Its terms and scalars are logged under its name:
    `cyclip/in_modal`. Evaluations see the scale of the first objective that has one.

    Args:
        objectives: By name.
        weights: By the same names, at least one, each at least 0; an objective of weight 0 is
            logged and learns nothing.
    """

    def __init__(self, objectives: Mapping[str, Objective], weights: Mapping[str, float]) -> None:
        super().__init__()
        if not objectives or objectives.keys() != weights.keys():
            raise ValueError(
                f"objective.weights ({', '.join(weights) or 'none'}): must name the same as"
                f" objective.objectives ({', '.join(objectives) or 'none'}), and at least one"
            )
        for name, weight in weights.items():
            checks.number(f"objective.weights.{name}", weight, least=0)
        self.objectives = nn.ModuleDict(objectives)
        self.weights = dict(weights)
        self.needs = Needs.all_of([objective.needs for objective in objectives.values()])

    def parts(self) -> dict[str, Objective]:
        return {name: part for name, part in self.objectives.items() if isinstance(part, Objective)}

    def scalars(self) -> dict[str, Tensor]:
        of_parts = {name: part.scalars() for name, part in self.parts().items()}
        named = {f"{name}/{key}": x for name, part in of_parts.items() for key, x in part.items()}
        scales = [part["scale"] for part in of_parts.values() if "scale" in part]
        return {**named, "scale": scales[0]} if scales else named

    def begin_from(self, scale: float, bias: float | None) -> None:
        for part in self.parts().values():
            part.begin_from(scale, bias)

    @torch.no_grad()
    def clamp_(self) -> None:
        for part in self.parts().values():
            part.clamp_()

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """total, and all terms of each objective under its name."""
        terms = {name: part(embeddings) for name, part in self.parts().items()}
        total = torch.stack([self.weights[name] * own["total"] for name, own in terms.items()])
        named = {f"{name}/{key}": x for name, own in terms.items() for key, x in own.items()}
        return {"total": total.sum(), **named}
