"""How much of a study there is, on which devices, and which differences mix devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from studies import rows
from studies.plan import Study
from studies.values import baseline


def status(study: Study) -> str:
    """The sentences under *Cost* in a study's README."""
    runs, found = study.runs(), rows.read(study.results)
    wanted = {(run.cell, str(run.seed)) for run in runs}
    done = sum((one["cell"], one["seed"]) in wanted for one in found)
    if not done:
        return f"None of the {len(runs)} runs has ended."
    hours = sum(float(one["seconds"]) for one in found) / 3600
    ended = f"{done} of {len(runs)} runs have ended" if done < len(runs) else f"All {done} runs"
    counts = Counter(one["device"] for one in found)
    devices = next(iter(counts))
    if len(counts) > 1:
        devices = " and ".join(f"{name} (× {count})" for name, count in sorted(counts.items()))
    sentences = [f"{ended}: {hours:.1f} hours of training on {devices}."]
    if pairs := mixed(study, found):
        listed = ", ".join(f"`{cell}` minus `{other}`" for cell, other in pairs)
        sentences.append(f"Differences between runs of unequal devices: {listed}.")
    return "\n".join(sentences)


def mixed(study: Study, found: Sequence[rows.Row]) -> list[tuple[str, str]]:
    """The tables' differences in which a seed's two runs come from unequal devices.

    Devices differ in their default precision and in the order of their sums.
    """
    devices: dict[str, dict[str, str]] = {}
    for one in found:
        devices.setdefault(one["cell"], {})[one["seed"]] = one["device"]
    pairs = {}
    for table in study.settings.get("tables", {}).values():
        for cell in table.get("cells", devices):
            other = baseline(table, cell)
            ours, theirs = devices.get(cell, {}), devices.get(str(other), {})
            if any(ours[seed] != theirs[seed] for seed in ours.keys() & theirs.keys()):
                pairs[cell, str(other)] = None
    return list(pairs)
