"""How plots mark each run: colours that colour-blind readers tell apart, and shapes."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours without the yellow, which is too light for lines on white. After seven
# runs the colours repeat, with dashes and hatches; with eight markers 56 runs look different.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = {"o": 5, "s": 5, "^": 6, "D": 4.5, "v": 6, "P": 7, "X": 7, "*": 9}  # of equal weight
IMAGES, TEXTS = _COLOURS[:2]


def run_colour(number: int) -> str:
    """The colour of the run with this number."""
    return _COLOURS[number % len(_COLOURS)]


def run_marker(number: int) -> dict[str, Any]:
    """The run's marker, as settings of a line."""
    marker, size = list(_MARKERS.items())[number % len(_MARKERS)]
    look = {"color": run_colour(number), "marker": marker, "markersize": size}
    return {**look, "markeredgecolor": "white", "linestyle": "none"}


def run_line(number: int) -> dict[str, Any]:
    """The run's markers with a line between them."""
    return {**run_marker(number), "linestyle": "-" if number < len(_COLOURS) else (0, (4, 1.5))}


def run_stroke(number: int) -> dict[str, Any]:
    """The run's line without markers."""
    line = "-" if number < len(_COLOURS) else (0, (4, 1.5))
    return {"color": run_colour(number), "linestyle": line, "linewidth": 1.4}


def run_bar(number: int) -> dict[str, Any]:
    """The run's bar."""
    hatch = None if number < len(_COLOURS) else "/////"
    return {"facecolor": run_colour(number), "edgecolor": "white", "linewidth": 0.4, "hatch": hatch}
