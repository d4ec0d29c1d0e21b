"""What lies above the line is effective robustness."""

from __future__ import annotations

from typing import Any

import pytest
from studies.effective_robustness import with_effective_robustness
from studies.values import Values

WANTED: dict[str, Any] = {
    "in_distribution": "own",
    "shifted": ["new", "missing"],
    "line": {"study": "sizes", "cells": ["small", "large"]},
}
EFFECTIVE = "new/robustness/effective_robustness"


def cell(*points: tuple[float, float]) -> dict[str, dict[int, float]]:
    own, new = zip(*points, strict=True)
    return {
        "own/zero_shot/acc1": dict(enumerate(own)),
        "new/zero_shot/acc1": dict(enumerate(new)),
    }


def test_the_line_goes_through_the_named_cells() -> None:
    # Of all four points the least squares line is 1.2 x - 0.1.
    line: Values = {
        "small": cell((0.2, 0.13), (0.3, 0.27)),
        "large": cell((0.4, 0.39), (0.5, 0.49)),
    }
    line["other"] = cell((0.9, 0.0))
    found: Values = {"a": cell((0.25, 0.2), (0.5, 0.6))}
    made = with_effective_robustness(found, line, WANTED)
    assert made["a"][EFFECTIVE] == pytest.approx({0: 0.0, 1: 0.1})
    assert EFFECTIVE not in found["a"], "what was given stays"
    assert not any("missing" in name for name in made["a"])


def test_a_line_needs_all_its_cells() -> None:
    found: Values = {"a": cell((0.25, 0.2))}
    small: Values = {"small": cell((0.2, 0.1), (0.3, 0.3))}
    assert with_effective_robustness(found, small, WANTED) == found
    assert with_effective_robustness(found, {}, WANTED) == found
