"""What an evaluation hands over, besides its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Results:
    """Of one evaluation or of several.

    Attributes:
        figures: Numbers by `<dataset>/<evaluation>/<figure>`: `metrics.json`, tables, loggers.
        details: By `<dataset>/<evaluation>`, what is no single number (per-class accuracies,
            histograms) and how the figures were made, as plain JSON containers.
        predictions: By `<dataset>/<evaluation>`, columns of equal length, a row an example.
    """

    figures: dict[str, float] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, dict[str, Sequence[Any]]] = field(default_factory=dict)

    def add(
        self,
        dataset: str,
        evaluation: str,
        figures: Mapping[str, float],
        details: Mapping[str, Any] | None = None,
        predictions: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """What one evaluation found on one set; figures by their own short names."""
        title = f"{dataset}/{evaluation}"
        self.figures.update({f"{title}/{name}": float(value) for name, value in figures.items()})
        if details is not None:
            self.details[title] = dict(details)
        if predictions is not None:
            assert len({len(column) for column in predictions.values()}) <= 1
            self.predictions[title] = dict(predictions)

    def update(self, other: Results) -> None:
        """Take in what another evaluation found."""
        self.figures.update(other.figures)
        self.details.update(other.details)
        self.predictions.update(other.predictions)
