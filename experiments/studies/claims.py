"""A paper's claims, each with the differences that decide about it.

claims:
  - claim: Accuracy rises
    paper: 20.03 → 22.08
    metrics: {unseen images: emoji_unseen_pictures/zero_shot/acc1}
    cell: cyclip                     # minus
    baseline: clip
  - claim: It does so at every size
    paper: –
    study: data_size                 # whose rows; and cells for each difference
    metrics: {50 %: [cyclip 50, clip 50, emoji_line/zero_shot/acc1]}
  - {claim: …, paper: –, untested: the reason}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studies import intervals
from studies.tables import shown
from studies.values import Values, paired

NOT_YET = "not yet run"


def table(rows_of: Callable[[str | None], Values], claims: Sequence[Mapping[str, Any]]) -> str:
    """One row per claim: the paper's numbers, ours with intervals, and what follows.

    Args:
        rows_of: The numbers of a study by its name; of this one for None.
        claims: As above.
    """
    lines = ["| claim | paper | ours, percentage points | here |", "|---|---|---|---|"]
    for one in claims:
        if reason := one.get("untested"):
            ours, verdict = "–", f"cannot be tested: {reason}"
        else:
            found = rows_of(one.get("study"))
            cells = one.get("cell", "cyclip"), one.get("baseline", "clip")
            differences = {
                title: (metric, intervals.of_pairs(*zip(*pairs, strict=True)))
                for title, wanted in one["metrics"].items()
                for cell, baseline, metric in [
                    (*cells, wanted) if isinstance(wanted, str) else wanted
                ]
                if len(pairs := paired(found, cell, baseline, metric)) > 1
            }
            ours = "; ".join(
                f"{t}: {shown(mean, metric, sign=True)}"
                for t, (metric, mean) in differences.items()
            )
            complete = len(differences) == len(one["metrics"])
            verdict = decided([m for _, m in differences.values()]) if complete else NOT_YET
        lines.append(f"| {one['claim']} | {one['paper']} | {ours or '–'} | {verdict} |")
    return "\n".join(lines)


def decided(differences: Sequence[intervals.Mean]) -> str:
    """Whether every, some or no interval lies above 0."""
    if not differences:
        return NOT_YET
    above = sum(one.apart and one.value > 0 for one in differences)
    below = sum(one.apart and one.value < 0 for one in differences)
    if above == len(differences):
        return "**holds**"
    if above and not below:
        return f"holds in {above} of {len(differences)}"
    if below:
        return "**does not hold**: lower" + (f" in {below} of {len(differences)}" if above else "")
    return "not shown: the intervals include 0"
