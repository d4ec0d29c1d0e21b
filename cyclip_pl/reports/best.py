"""The best run by a metric, and what can be said about its lead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cyclip_pl.metric_kinds import BOUNDS, kind_of, without_bounds
from cyclip_pl.reports.groups import intervals_apart, metric_names
from cyclip_pl.reports.paired import paired
from cyclip_pl.reports.runs import Run, of_title, titles

_USUAL = "zero_shot/acc1"


@dataclass(frozen=True)
class Best:
    """The runs in the order of one metric, the best first; those without it are left out."""

    title: str
    metric: str
    order: tuple[int, ...]

    @property
    def label(self) -> str:
        """The metric with its set and evaluation."""
        return " · ".join([*filter(None, of_title(self.title)), self.metric])

    def name(self, runs: Sequence[Run]) -> str:
        """The best run's name, empty if another one is as good."""
        values = [runs[n].value(self.title, self.metric) for n in self.order[:2]]
        return runs[self.order[0]].name if len({*values}) == len(values) else ""


def find_best(runs: Sequence[Run], asked: str | None = None) -> Best | None:
    """The best run by the metric that was asked for, or by the usual one that most runs have.

    Args:
        asked: `<set>/<evaluation>/<metric>`, or the end of such a name: `zero_shot/acc1`, which
            then means the first set that has it.

    Returns:
        None if none was asked for and no metric has a better direction.

    Raises:
        ValueError: No run has this metric, or neither more nor less of it is better; one line.
    """
    names = [
        (title, metric)
        for title in titles(runs, lambda run, title: True)
        for metric in without_bounds(metric_names(runs, title))
    ]
    if asked is not None:
        known = {f"{title}/{metric}".lstrip("/"): (title, metric) for title, metric in names}
        names = [
            pair for name, pair in known.items() if name == asked or name.endswith(f"/{asked}")
        ]
        if not names:
            raise ValueError(
                f"--best={asked}: no run has this metric; a report without --best names them all"
            )
        if not kind_of(names[0][1]).better:
            raise ValueError(f"--best={asked}: neither more nor less of it is better")
        names = names[:1]
    names = [name for name in names if kind_of(name[1]).better and _order(runs, *name)]
    if not names:
        return None

    def usual(name: tuple[str, str]) -> tuple[int, bool]:
        return len(_order(runs, *name)), f"{name[0]}/{name[1]}".endswith(_USUAL)

    title, metric = max(names, key=usual)
    return Best(title, metric, _order(runs, title, metric))


def _order(runs: Sequence[Run], title: str, metric: str) -> tuple[int, ...]:
    values = {n: run.value(title, metric) for n, run in enumerate(runs)}
    better = kind_of(metric).better
    finite = {n: better * v for n, v in values.items() if v is not None and math.isfinite(v)}
    return tuple(sorted(finite, key=lambda n: -finite[n]))


def conclusion(runs: Sequence[Run], best: Best) -> list[str]:
    """Sentences: which run is best, by how much, and whether test images alone can explain it."""
    kind, title, metric = kind_of(best.metric), best.title, best.metric
    first = runs[best.order[0]]
    value = first.value(title, metric)
    unit = f" {kind.unit}".rstrip()
    said = [f"{first.name} has the best {best.label}: {kind.text(value)}{unit}."]
    if len(best.order) < 2:
        return said
    second = runs[best.order[1]]
    other = second.value(title, metric)
    assert value is not None and other is not None
    if value == other:
        return [
            f"{first.name} and {second.name} are equal in {best.label}: {kind.text(value)}{unit}."
        ]
    points = " percentage points" if kind.unit else ""
    lead = f"It leads {second.name} by {kind.text(abs(value - other))}{points}"
    pair = paired(first, second, title, metric)
    if pair is not None:
        ends = sorted(kind.better * end for end in (pair.low, pair.high))
        lead += " (95 % interval [{}, {}], paired over {:,} images).".format(
            *map(kind.text, ends), pair.images
        )
        apart = pair.apart
    else:
        ends_of = [[run.value(title, metric + end) for end in BOUNDS] for run in (first, second)]
        flat = [end for ends in ends_of for end in ends]
        if any(end is None for end in flat):
            return [*said, f"{lead}.", "Without intervals, chance cannot be excluded."]
        apart = intervals_apart(ends_of[0], ends_of[1], kind.better)
        lead += "; their intervals lie apart." if apart else "; their intervals overlap."
    if not apart:
        return [*said, lead, "These test images do not tell the two runs apart."]
    chance = (
        "That is more than the choice of test images explains; another seed may still change it"
    )
    many = len(best.order)
    flattered = f", and the best of {many} runs looks better than it is." if many > 2 else "."
    return [*said, lead, chance + flattered]
