"""One look for all plots, at the width of a page."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cyclip_pl.reports.runs import Run, of_title, titles

WIDTH = 7.2  # inches: a page of text
COLUMNS = 3  # side by side, at most
PANELS = 12  # in one plot, at most
GREY = "#666666"

T = TypeVar("T")

_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.markeredgewidth": 0.5,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # a run may have the name "$x$"
}


@contextmanager
def look() -> Iterator[None]:
    """Draw in this look inside the block, whatever the user's own settings are."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The font draws a box for a letter that it lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def pages(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """The items in pieces of at most `most`."""
    return [items[start : start + most] for start in range(0, len(items), most)]


def panels(
    count: int, columns: int | None = None, height: float = 2.1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes, without pyplot's global state.

    `height` is inches of a row, `shared` goes to `Figure.subplots`: which axes share scales.
    """
    columns = columns or (2 if count == 4 else min(count, COLUMNS))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, rows * height + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def titled_panels(
    runs: Sequence[Run], wanted: Callable[[Run, str], object]
) -> Iterator[tuple[Figure, list[tuple[Axes, str]]]]:
    """Figures with one panel per title for which `wanted` is true, and their (panel, title)."""
    for shown in pages(titles(runs, wanted), PANELS):
        figure, all_axes = panels(len(shown))
        for axes, heading in zip(all_axes, panel_titles(shown), strict=True):
            axes.set_title(heading)
        yield figure, list(zip(all_axes, shown, strict=True))


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


def legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Add a legend above the panels, in as many columns as fit; the figure becomes taller."""
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
