"""One look for all plots: a page's width, colours that colour-blind readers tell apart."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cyclip_pl.reports.runs import Point, Run, of_title, titles

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2
"""Inches: a page of text."""
COLUMNS = 3
PANELS = 12
"""The most in one picture."""
_ROWS = 6  # of runs, in one picture

T = TypeVar("T")

# Okabe and Ito's, without the yellow, which is too light for lines on white. After seven runs the
# colours come again, with dashes and hatches; seven colours and eight markers tell 56 apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = {"o": 5, "s": 5, "^": 6, "D": 4.5, "v": 6, "P": 7, "X": 7, "*": 9}  # with equal weight
IMAGES, TEXTS = _COLOURS[:2]
GREY = "#666666"

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
    "text.parse_math": False,  # a run may be called "$x$"
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Plot:
    """A picture.

    Attributes:
        name: Of its file, without `.png`.
        title: Its heading.
        caption: How to read it, one or two sentences.
        png: The picture.
    """

    name: str
    title: str
    caption: str
    png: bytes


def check_matplotlib() -> None:
    """Raise ValueError, one line, if nothing can be drawn here."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError("reports need matplotlib: pip install 'cyclip-pl[reports]'") from error


@contextmanager
def look() -> Iterator[None]:
    """Within it matplotlib draws in this look, whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name may have letters that the font has not; a box stands for them.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def panels(
    count: int, columns: int | None = None, height: float = 2.1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with so many axes, `height` inches each, in rows of `columns` or as many as suit.

    A `Figure` of its own, without pyplot: no state, no display, Agg draws it.
    """
    from matplotlib.figure import Figure

    columns = columns or (2 if count == 4 else min(count, COLUMNS))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, rows * height + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def panel_titles(shown: Sequence[str]) -> list[str]:
    """What to write over panels: the data set, and the evaluation where there are several."""
    several = len({of_title(title)[1] for title in shown}) > 1
    names = [title.replace("/", "\n") if several else of_title(title)[0] for title in shown]
    return ["\n".join(short(line, 26) for line in name.split("\n")) for name in names]


def short(name: str, most: int = 40) -> str:
    """A name that fits, its middle left out if need be."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def row_label(axes: Axes, name: str) -> None:
    """A run's name left of its row, in lines of a few words."""
    lines = [""]
    for word in re.findall(r"[^\s_,=/+-]{1,16}[\s_,=/+-]?|[\s_,=/+-]", short(name, 80)):
        if len(lines[-1] + word) > 16:
            lines.append("")
        lines[-1] += word
    axes.set_ylabel("\n".join(lines), rotation=0, ha="right", va="center")


def run_colour(number: int) -> str:
    """Of the run of this number."""
    return _COLOURS[number % len(_COLOURS)]


def run_marker(number: int) -> dict[str, Any]:
    """Likewise, as a line's settings."""
    marker, size = list(_MARKERS.items())[number % len(_MARKERS)]
    look = {"color": run_colour(number), "marker": marker, "markersize": size}
    return {**look, "markeredgecolor": "white", "linestyle": "none"}


def run_line(number: int) -> dict[str, Any]:
    """Likewise, with a line between the markers."""
    return {**run_marker(number), "linestyle": "-" if number < len(_COLOURS) else (0, (4, 1.5))}


def run_bar(number: int) -> dict[str, Any]:
    """Likewise, as a bar's settings."""
    hatch = None if number < len(_COLOURS) else "/////"
    return {"facecolor": run_colour(number), "edgecolor": "white", "linewidth": 0.4, "hatch": hatch}


def draw_point(axes: Axes, x: Point, y: Point, number: int) -> None:
    """A run's marker in percent, with the intervals of both figures."""
    colour = run_colour(number)
    axes.plot([100 * x.low, 100 * x.high], [100 * y.value] * 2, color=colour, lw=1, alpha=0.6)
    axes.plot([100 * x.value] * 2, [100 * y.low, 100 * y.high], color=colour, lw=1, alpha=0.6)
    axes.plot(100 * x.value, 100 * y.value, zorder=3, **run_marker(number))


def keep_fractions(axes: Axes) -> None:
    """No axis of fractions goes below zero, but for the room of a marker there."""
    for get, cut in ((axes.get_xlim, axes.set_xlim), (axes.get_ylim, axes.set_ylim)):
        low, high = get()
        if low < 0 < high:
            cut(max(low, -0.03 * high), high)


def legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Handles by name over the panels, in as many columns as fit; the figure grows by it."""
    names = [short(name, 60) for name in handles]
    # A character has about 0.07 inches at this size, a handle with its space 0.6.
    columns = max(1, min(len(names), int(WIDTH / (0.6 + 0.07 * max(map(len, names))))))
    figure.legend(list(handles.values()), names, loc="outside upper center", ncols=columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.19 * math.ceil(len(names) / columns))


def to_png(figure: Figure) -> bytes:
    """200 dots an inch: twice what a screen shows at a page's width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(200)
    out = io.BytesIO()
    # `savefig` would draw, and lay out, twice.
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def pages(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """The items in pieces of at most `most`."""
    return [items[start : start + most] for start in range(0, len(items), most)]


def by_run(
    runs: Sequence[Run], read: Callable[[Run, str], T | None]
) -> list[tuple[dict[str, dict[str, T]], Sequence[str]]]:
    """What `read` finds, in pictures of some data sets across and some runs down.

    Returns:
        Of each picture, by run's name and title what was found, and its titles.
    """
    found = {
        run.name: {t: x for t in run.figures if (x := read(run, t)) is not None} for run in runs
    }
    parts = []
    for columns in pages(titles(runs, lambda run, title: title in found[run.name]), COLUMNS):
        rows = {name: row for name, row in found.items() if row.keys() & set(columns)}
        for names in pages(list(rows), _ROWS):
            parts.append(({name: rows[name] for name in names}, columns))
    return parts


def run_rows(
    rows: Mapping[str, Mapping[str, T]], shown: Sequence[str], height: float, **shared: Any
) -> tuple[Figure, list[tuple[Axes, T | None]]]:
    """A figure of runs down and data sets across, both named, and what each of its axes shows.

    Args:
        rows: What was found, by run's name and title; where there is none, a dash stands.
        shown: The titles.
        height: Inches of a row.
        shared: As for `panels`.
    """
    figure, all_axes = panels(len(rows) * len(shown), len(shown), height, **shared)
    cells = []
    for place, axes in enumerate(all_axes):
        line, column = divmod(place, len(shown))
        name = list(rows)[line]
        if line == 0:
            axes.set_title(panel_titles(shown)[column])
        if column == 0:
            row_label(axes, name)
        found = rows[name].get(shown[column])
        if found is None:
            axes.text(0.5, 0.5, "–", transform=axes.transAxes, ha="center", color=GREY)
        cells.append((axes, found))
    return figure, cells


def numbered(name: str, number: int, count: int) -> str:
    """The name of one of `count` pictures."""
    return name if count == 1 else f"{name}_{number + 1}"
