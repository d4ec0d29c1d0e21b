"""Run folders of `sweep=objectives` → results.csv, acc1.png and the README's table.

    python experiments/objectives/collect.py runs/sweep_*/*_*

Without runs it draws the plot and prints the table from results.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SETS = {
    "emoji_unseen_pictures": "unseen pictures",
    "emoji_unseen_names_classes": "unseen names",
    "emoji_line": "line",
    "emoji_mono": "mono",
}
FIELDS = ["objective", "views", "seed", *SETS, "seconds"]
Row = dict[str, Any]


def read(run: Path) -> Row:
    """One run: its choices, top-1 accuracy by set, seconds of training."""
    choices = json.loads((run / "provenance.json").read_text())["choices"]
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "objective": choices["objective"],
        "views": choices["views"],
        "seed": yaml.safe_load((run / "config.yaml").read_text())["seed"],
        **{name: round(metrics[f"{name}/zero_shot/acc1"], 4) for name in SETS},
        "seconds": round(metrics["train/seconds"], 1),
    }


def grouped(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """The seeds of each pair of objective and views."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["objective"], row["views"]), []).append(row)
    return groups


def spread(rows: list[Row], name: str) -> tuple[float, float]:
    """Mean and standard deviation over the seeds, percent."""
    values = [100 * float(row[name]) for row in rows]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(rows: list[Row]) -> str:
    """The README's table."""
    lines = [
        f"| objective | views | seeds | {' | '.join(SETS.values())} |",
        f"|---|---|---|{'---|' * len(SETS)}",
    ]
    for (objective, views), group in grouped(rows).items():
        cells = ["{:.1f} ± {:.1f}".format(*spread(group, name)) for name in SETS]
        lines.append(f"| `{objective}` | `{views}` | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """One panel per set: seeds as points, their means as bars, CLIP's mean as a dashed line."""
    from matplotlib.figure import Figure

    groups = grouped(rows)
    labels = [
        objective if objective != "clip" or views == "jittered" else f"clip, {views}"
        for objective, views in groups
    ]
    figure = Figure(figsize=(11, 0.34 * len(groups) + 1.2), layout="constrained")
    all_axes = figure.subplots(1, len(SETS), sharey=True)
    for axes, (name, title) in zip(all_axes, SETS.items(), strict=True):
        for place, group in enumerate(groups.values()):
            values = [100 * float(row[name]) for row in group]
            axes.plot(values, [place] * len(group), "o", c="#999", ms=4)
            axes.plot(spread(group, name)[0], place, "|", c="#0072b2", ms=13, mew=2.5)
        if clip := groups.get(("clip", "jittered")):
            axes.axvline(spread(clip, name)[0], c="#d55e00", lw=1, ls="--")
        axes.set(title=title, xlabel="top-1 accuracy, %", xlim=(0, None))
        axes.grid(axis="x", alpha=0.3)
    all_axes[0].set_yticks(range(len(labels)), labels)
    all_axes[0].invert_yaxis()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a run folder")
    runs = parser.parse_args().runs
    file = HERE / "results.csv"
    if runs:
        rows = [read(run) for run in runs if (run / "metrics.json").is_file()]
        rows.sort(key=lambda row: (row["objective"], row["views"], row["seed"]))
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
    else:
        with file.open(newline="") as stored:
            rows = list(csv.DictReader(stored))
    plot(rows, HERE / "acc1.png")
    print(table(rows))


if __name__ == "__main__":
    main()
