"""A paper's claims, each with the difference that decides about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies import intervals
from studies.tables import shown
from studies.values import Values, paired


def table(found: Values, claims: Sequence[Mapping[str, Any]]) -> str:
    """One row per claim: the paper's numbers, ours with intervals, and what follows."""
    lines = ["| claim | paper | ours, percentage points | here |", "|---|---|---|---|"]
    for one in claims:
        if reason := one.get("untested"):
            ours, verdict = "–", f"cannot be tested: {reason}"
        else:
            cell, baseline = one.get("cell", "cyclip"), one.get("baseline", "clip")
            differences = {
                title: (metric, intervals.of_pairs(*zip(*pairs, strict=True)))
                for title, metric in one["metrics"].items()
                if len(pairs := paired(found, cell, baseline, metric)) > 1
            }
            ours = "; ".join(f"{t}: {shown(m, x, sign=True)}" for t, (x, m) in differences.items())
            verdict = decided([mean for _, mean in differences.values()])
        lines.append(f"| {one['claim']} | {one['paper']} | {ours or '–'} | {verdict} |")
    return "\n".join(lines)


def decided(differences: Sequence[intervals.Mean]) -> str:
    """Whether every, some or no interval lies above 0."""
    if not differences:
        return "not yet run"
    above = sum(one.apart and one.value > 0 for one in differences)
    below = sum(one.apart and one.value < 0 for one in differences)
    if above == len(differences):
        return "**holds**"
    if above and not below:
        return f"holds in {above} of {len(differences)}"
    if below:
        return "**does not hold**: lower" + (f" in {below} of {len(differences)}" if above else "")
    return "not shown: the intervals include 0"
