"""Tables of means and of paired differences, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclip_pl.metric_kinds import kind_of
from studies import intervals
from studies.values import Values, baseline, paired

VISIBLE = "*could be seen*"
"""The true difference that such a study shows four times out of five, the largest of the cells'."""


def tables(found: Values, wanted: Mapping[str, Any]) -> list[str]:
    """The means, and if there is a baseline the paired differences from it, in Markdown.

    `means: false` leaves out the means, for a table of cells whose means another table has.
    """
    cells = [cell for cell in wanted.get("cells", found) if cell in found]
    metrics: dict[str, str] = wanted["metrics"]

    def mean(cell: str, metric: str) -> str:
        by_seed = found[cell].get(metric, {})
        return shown(intervals.of(list(by_seed.values())), metric) if by_seed else "–"

    def difference(cell: str, metric: str) -> str:
        other = baseline(wanted, cell)
        pairs = paired(found, cell, other, metric) if other else []
        if not pairs:
            return "–"
        one = intervals.of_pairs(*zip(*pairs, strict=True))
        text = shown(one, metric, sign=True)
        return f"**{text}**" if one.apart else text

    def visible(metric: str) -> str:
        seen = []
        for cell in compared:
            if len(pairs := paired(found, cell, str(baseline(wanted, cell)), metric)) > 1:
                seen.append(intervals.visible([ours - theirs for ours, theirs in pairs]))
        return text_of(max(seen), metric) if seen else "–"

    made = []
    if wanted.get("means", True):
        made.append(_table(cells, metrics, mean, wanted, counted(found, cells)))
    if "baseline" in wanted:
        compared = [cell for cell in cells if baseline(wanted, cell) not in (None, cell)]
        notes = [f"minus `{baseline(wanted, cell)}`" for cell in compared]
        if compared:
            made.append(_table(compared, metrics, difference, wanted, notes, visible))
    return made


def counted(found: Values, cells: Sequence[str]) -> list[str]:
    """How many seeds each cell has."""
    counts = [max(map(len, found[cell].values())) for cell in cells]
    return [f"{count} seed{'s' if count > 1 else ''}" for count in counts]


def shown(mean: intervals.Mean, metric: str, sign: bool = False) -> str:
    """`34.1 ± 1.2`: a mean and half of its interval, fractions in percent."""
    value = text_of(mean.value, metric, sign)
    return value if mean.n < 2 else f"{value} ± {text_of(mean.half, metric)}"


def text_of(value: float, metric: str, sign: bool = False) -> str:
    """A number, a fraction in percent."""
    percent = kind_of(metric.rpartition("/")[2]).unit in ("%", "pp")
    factor, digits = (100, 1) if percent else (1, 3)
    return f"{factor * value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _table(
    cells: Sequence[str],
    metrics: Mapping[str, str],
    text: Callable[[str, str], str],
    wanted: Mapping[str, Any],
    notes: Sequence[str],
    visible: Callable[[str], str] | None = None,
) -> str:
    if wanted.get("rows", "cells") == "cells":
        lines = [["", "", *metrics]]
        lines += [
            [f"`{cell}`", note, *(text(cell, one) for one in metrics.values())]
            for cell, note in zip(cells, notes, strict=True)
        ]
        if visible:
            lines.append([VISIBLE, "", *map(visible, metrics.values())])
    else:
        heads = [f"`{cell}`, {note}" for cell, note in zip(cells, notes, strict=True)]
        lines = [["", *heads, *([VISIBLE] if visible else [])]]
        for name, one in metrics.items():
            last = [visible(one)] if visible else []
            lines.append([name, *(text(cell, one) for cell in cells), *last])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
