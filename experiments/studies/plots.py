"""Plots of a study: differences from a baseline, a grid of two settings, curves over one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclip_pl.metric_kinds import kind_of
from studies import intervals
from studies.plan import Study
from studies.values import Values, baseline, paired

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")


def draw(found: Values, study: Study, wanted: Mapping[str, Any], path: Path) -> None:
    """Draw one plot; its `kind` is the name of a function below."""
    KINDS[wanted["kind"]](found, study, wanted, path)


def differences(found: Values, study: Study, wanted: Mapping[str, Any], path: Path) -> None:
    """A table's paired differences with their intervals, a metric per line, a colour per cell."""
    table = study.settings["tables"][wanted["table"]]
    metrics, cells = _in_points(table), _compared(found, table)
    figure = Figure(
        figsize=(7.5, 1.2 + 0.16 * len(metrics) * (len(cells) + 1)), layout="constrained"
    )
    axes = figure.subplots()
    step = 0.8 / max(1, len(cells))
    for number, (cell, colour) in enumerate(zip(cells, cycle(COLOURS), strict=False)):
        for place, metric in enumerate(metrics.values()):
            centre = place - 0.4 + (number + 0.5) * step
            _bar(axes, centre, found, cell, str(baseline(table, cell)), metric, colour)
        axes.plot([], [], "o", ms=4, c=colour, label=cell)
    _differences_axis(axes, metrics)
    axes.set_xlabel(f"difference from {_baselines(table)}, percentage points; 95 % interval")
    if cells:
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=130)


def forest(found: Values, study: Study, wanted: Mapping[str, Any], path: Path) -> None:
    """A table's paired differences with their intervals, a panel per metric, a line per cell."""
    table = study.settings["tables"][wanted["table"]]
    metrics, cells = _in_points(table), _compared(found, table)
    figure = Figure(figsize=(2 + 1.5 * len(metrics), 1.2 + 0.25 * len(cells)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (title, metric) in zip(panels, metrics.items(), strict=True):
        for place, cell in enumerate(cells):
            _bar(axes, place, found, cell, str(baseline(table, cell)), metric, COLOURS[0])
        _differences_axis(axes, cells)
        axes.set_title(title, fontsize=9)
    figure.supxlabel(
        f"difference from {_baselines(table)}, percentage points; 95 % interval", fontsize=9
    )
    figure.savefig(path, dpi=130)


def grid(found: Values, study: Study, wanted: Mapping[str, Any], path: Path) -> None:
    """Heat maps: means of cells named `<cell> <row> <column>`, a panel per metric."""
    metrics: dict[str, str] = wanted["metrics"]
    cells = {tuple(c.split(" ")[1:]): c for c in found if c.split(" ")[0] == wanted["cell"]}
    lines, columns = (sorted({key[i] for key in cells}, key=float) for i in (0, 1))
    count = min(3, len(metrics))
    figure = Figure(figsize=(3.4 * count, 3 * -(-len(metrics) // count)), layout="constrained")
    panels = figure.subplots(-(-len(metrics) // count), count, squeeze=False).ravel()
    for axes in panels[len(metrics) :]:
        axes.remove()
    for axes, (title, metric) in zip(panels, metrics.items(), strict=False):
        means = [[_mean(found, cells.get((a, b)), metric) for b in columns] for a in lines]
        axes.imshow(means, origin="lower", cmap="viridis")
        for y, line in enumerate(means):
            for x, value in enumerate(line):
                text = axes.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=8)
                text.set_bbox({"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1})
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(lines)), lines)
        axes.set(title=title, xlabel=wanted["columns"], ylabel=wanted["rows"])
    figure.savefig(path, dpi=130)


def curves(found: Values, study: Study, wanted: Mapping[str, Any], path: Path) -> None:
    """Means and intervals of cells named `<cell> <number>`, a panel per metric, a line per cell."""
    metrics: dict[str, str] = wanted["metrics"]
    figure = Figure(figsize=(3.4 * len(metrics), 3.2), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, (title, metric) in zip(panels, metrics.items(), strict=True):
        for number, name in enumerate(wanted["cells"]):
            points = [(float(c.split(" ")[1]), c) for c in found if c.split(" ")[0] == name]
            points = sorted(p for p in points if metric in found[p[1]])
            means = [intervals.of(list(found[cell][metric].values())) for _, cell in points]
            factor = _factor(metric)
            axes.errorbar(
                [x for x, _ in points],
                [factor * one.value for one in means],
                [factor * one.half for one in means],
                fmt="o-", ms=4, lw=1.2, capsize=3, c=COLOURS[number], label=name,
            )  # fmt: skip
        axes.set(title=title, xlabel=wanted["x"], xscale=wanted.get("scale", "linear"))
        places = sorted({c.split(" ")[1] for c in found if c.split(" ")[0] in wanted["cells"]})
        axes.set_xticks([float(place) for place in places], places)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=130)


KINDS = {"differences": differences, "forest": forest, "grid": grid, "curves": curves}


def _bar(
    axes: Axes, place: float, found: Values, cell: str, other: str, metric: str, colour: str
) -> None:
    """A difference and its interval; hollow without an interval, if one seed has both cells."""
    if pairs := paired(found, cell, other, metric):
        one = intervals.of_pairs(*zip(*pairs, strict=True))
        axes.errorbar(
            100 * one.value, place, xerr=100 * one.half if one.n > 1 else None,
            fmt="o", ms=4, capsize=2, c=colour, mfc=None if one.n > 1 else "white",
        )  # fmt: skip


def _differences_axis(axes: Axes, lines: Iterable[str]) -> None:
    names = list(lines)
    axes.axvline(0, c="#888", lw=1, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)


def _in_points(table: Mapping[str, Any]) -> dict[str, str]:
    return {name: one for name, one in table["metrics"].items() if _factor(one) == 100}


def _compared(found: Values, table: Mapping[str, Any]) -> list[str]:
    cells = table.get("cells", found)
    return [c for c in cells if c in found and baseline(table, c) not in (None, c)]


def _baselines(table: Mapping[str, Any]) -> str:
    chosen = table["baseline"]
    return "its baseline" if isinstance(chosen, Mapping) else str(chosen)


def _factor(metric: str) -> int:
    return 100 if kind_of(metric.rpartition("/")[2]).unit in ("%", "pp") else 1


def _mean(found: Values, cell: str | None, metric: str) -> float:
    by_seed = found.get(cell or "", {}).get(metric, {})
    return _factor(metric) * intervals.of(list(by_seed.values())).value if by_seed else float("nan")
