"""What a report says first: what was compared, which run is best on what, what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclip_pl.reports.best import Best, conclusion
from cyclip_pl.reports.groups import Group
from cyclip_pl.reports.run_files import plain
from cyclip_pl.reports.runs import Run

_NAMED = 6  # metrics per run


@dataclass(frozen=True)
class Headline:
    """The first lines of a report.

    Attributes:
        best: The name of the best run; empty if there is none, or another is as good.
        sentences: By which metric, by how much, and whether chance explains it.
        ahead: Run -> the metrics by which it is better than all others, beyond chance.
        failed: Runs of a sweep that left no metrics.
    """

    best: str
    sentences: tuple[str, ...]
    ahead: dict[str, str]
    failed: tuple[str, ...]


def headline(
    runs: Sequence[Run], table: Sequence[Group], best: Best | None, failed: Sequence[Path]
) -> Headline:
    """From the table, whose best cells are those beyond chance."""
    leads: dict[str, list[str]] = {}
    for group in table:
        for row in group.rows:
            for run, cell in zip(runs, row.cells, strict=True):
                if cell.best:
                    leads.setdefault(run.name, []).append(f"{group.label} {row.metric}")
    ahead = {}
    for name, metrics in leads.items():
        more = len(metrics) - _NAMED
        ahead[name] = ", ".join(metrics[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    name, sentences = "", []
    if best is not None and len(runs) > 1:
        name, sentences = best.name(runs), conclusion(runs, best)
    return Headline(name, tuple(sentences), ahead, tuple(plain(str(path)) for path in failed))
