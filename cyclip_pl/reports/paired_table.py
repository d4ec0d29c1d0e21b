"""The table of differences from the first run, image by image."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cyclip_pl.metric_kinds import MISSING, kind_of
from cyclip_pl.reports.groups import Cell, Group, Row, metric_names
from cyclip_pl.reports.paired import Paired, paired
from cyclip_pl.reports.runs import Run, of_title, titles

Differences = dict[str, dict[str, list[Paired | None]]]
"""By title and metric, of each run but the first."""


def paired_differences(runs: Sequence[Run]) -> Differences:
    """Of each metric with hits the smallest k: acc1, not acc3."""
    found: Differences = {}
    for title in titles(runs, lambda run, title: True) if len(runs) > 1 else ():
        stems: set[str] = set()
        for metric in metric_names(runs, title):
            of_runs = [paired(run, runs[0], title, metric) for run in runs[1:]]
            stem = re.sub(r"\d+$", "", metric)
            if any(of_runs) and stem not in stems:
                stems.add(stem)
                found.setdefault(title, {})[metric] = of_runs
    return found


def paired_groups(found: Differences) -> list[Group]:
    """The differences as rows, in percentage points; bold where an interval leaves out 0."""
    return [
        Group(*of_title(title), tuple(Row(m, tuple(map(_cell, of))) for m, of in metrics.items()))
        for title, metrics in found.items()
    ]


def _cell(pair: Paired | None) -> Cell:
    if pair is None:
        return Cell(MISSING)
    text = kind_of("acc1").text
    sign = "+" if pair.value > 0 else ""
    interval = f"[{text(pair.low)}, {text(pair.high)}]"
    return Cell(f"{sign}{text(pair.value)}", interval, pair.apart)
