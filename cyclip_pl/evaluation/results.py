"""What evaluations find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

from PIL.Image import Image


@dataclass
class Results:
    """Of one evaluation or of several.

    Attributes:
        metrics: Numbers by `<dataset>/<evaluation>/<metric>`: `metrics.json`, tables, loggers.
        details: By `<dataset>/<evaluation>`, what is not a single number (accuracies per class,
            histograms) and how the metrics were made, as plain JSON containers.
        predictions: By `<dataset>/<evaluation>`, columns of equal length, one row per example.
        images: By `<dataset>/<evaluation>`, the images that its details name; each is decoded when
            it is called.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, dict[str, Sequence[Any]]] = field(default_factory=dict)
    images: dict[str, dict[str, Callable[[], Image]]] = field(default_factory=dict)

    def add(
        self,
        dataset: str,
        evaluation: str,
        metrics: Mapping[str, SupportsFloat],
        details: Mapping[str, Any] | None = None,
        predictions: Mapping[str, Sequence[Any]] | None = None,
        images: Mapping[str, Callable[[], Image]] | None = None,
    ) -> None:
        """What one evaluation found on one set; metrics by their own short names."""
        title = f"{dataset}/{evaluation}"
        self.metrics.update({f"{title}/{name}": float(value) for name, value in metrics.items()})
        if details is not None:
            self.details[title] = dict(details)
        if predictions is not None:
            assert len({len(column) for column in predictions.values()}) <= 1
            self.predictions[title] = dict(predictions)
        if images is not None:
            self.images[title] = dict(images)

    def update(self, other: Results) -> None:
        """Take in what another evaluation found."""
        self.metrics.update(other.metrics)
        self.details.update(other.details)
        self.predictions.update(other.predictions)
        self.images.update(other.images)
