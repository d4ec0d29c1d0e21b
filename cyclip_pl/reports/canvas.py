"""One look for all plots, at the width of a page."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cyclip_pl.reports.runs import Run, of_title, titles

WIDTH = 7.2
"""Inches: a page of text."""
COLUMNS = 3
"""The most panels side by side."""
PANELS = 12
"""The most panels in one plot."""
GREY = "#666666"

T = TypeVar("T")

_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 9,
    "figure.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markeredgewidth": 0.5,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # a run may have the name "$x$"
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Attributes:
        name: The name of its file, without `.png`.
        title: Its heading.
        caption: How to read it, in one or two sentences.
        png: Its file.
    """

    name: str
    title: str
    caption: str
    png: bytes


def plots(name: str, title: str, caption: str, drawn: Iterable[bytes]) -> list[Plot]:
    """PNG files of one kind as plots; several have numbered names."""
    files = list(drawn)
    names = [name] if len(files) == 1 else [f"{name}_{n + 1}" for n in range(len(files))]
    return [Plot(each, title, caption, png) for each, png in zip(names, files, strict=True)]


@contextmanager
def look() -> Iterator[None]:
    """Within it matplotlib draws in this look, whatever the user's own settings are."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The font draws a box for a letter that it does not have.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def pages(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """The items in pieces of at most `most`."""
    return [items[start : start + most] for start in range(0, len(items), most)]


def panel_pages(runs: Sequence[Run], wanted: Callable[[Run, str], bool]) -> list[Sequence[str]]:
    """The titles of each plot, for plots with one panel per title that `wanted` accepts."""
    return pages(titles(runs, wanted), PANELS)


def panels(
    count: int, columns: int | None = None, height: float = 2.1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes.

    The figure needs no pyplot: it has no global state and no display.

    Args:
        count: The axes.
        columns: Axes side by side; None chooses.
        height: Inches of a row.
        shared: Of `Figure.subplots`: which axes share their scales.
    """
    columns = columns or (2 if count == 4 else min(count, COLUMNS))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, rows * height + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def titled_panels(shown: Sequence[str]) -> tuple[Figure, list[tuple[Axes, str]]]:
    """A figure with one panel per title, and the panels with their titles."""
    figure, all_axes = panels(len(shown))
    for axes, name in zip(all_axes, panel_titles(shown), strict=True):
        axes.set_title(name)
    return figure, list(zip(all_axes, shown, strict=True))


def panel_titles(shown: Sequence[str]) -> list[str]:
    """The headings of panels: the data set, and the evaluation where there are several."""
    several = len({of_title(title)[1] for title in shown}) > 1
    names = [title.replace("/", "\n") if several else of_title(title)[0] for title in shown]
    return ["\n".join(short(line, 26) for line in name.split("\n")) for name in names]


def short(name: str, most: int = 40) -> str:
    """A name of at most `most` characters; a longer one loses its middle."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def keep_fractions(axes: Axes) -> None:
    """Let no axis of fractions reach below zero, but for the room that a marker takes there."""
    for get, cut in ((axes.get_xlim, axes.set_xlim), (axes.get_ylim, axes.set_ylim)):
        low, high = get()
        if low < 0 < high:
            cut(max(low, -0.03 * high), high)


def legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Put a legend over the panels, in as many columns as fit; the figure becomes taller by it."""
    names = [short(name, 60) for name in handles]
    # A character takes about 0.07 inches at this size, a handle with its space 0.6.
    columns = max(1, min(len(names), int(WIDTH / (0.6 + 0.07 * max(map(len, names))))))
    figure.legend(list(handles.values()), names, loc="outside upper center", ncols=columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.19 * math.ceil(len(names) / columns))


def to_png(figure: Figure) -> bytes:
    """200 dots per inch: twice what a screen shows at the width of a page."""
    figure.set_dpi(200)
    out = io.BytesIO()
    # `savefig` would draw, and lay out, twice.
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()
