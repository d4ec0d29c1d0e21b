"""Run folders of `sweep=objectives` → results.csv, the README's table and the figure.

python experiments/objectives/collect.py runs/sweep_*/*
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
SETS = {
    "emoji_unseen_pictures": "unseen pictures",
    "emoji_unseen_names_classes": "unseen names",
    "emoji_line": "line",
    "emoji_mono": "mono",
}
FIELDS = ["objective", "views", "seed", *SETS, "seconds"]


def read(run: Path) -> dict[str, str | float]:
    """One run's row: its choices, top-1 by set, seconds of training."""
    choices = yaml.safe_load((run / ".hydra/hydra.yaml").read_text())["hydra"]["runtime"]["choices"]
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "objective": choices["objective"],
        "views": choices["views"],
        "seed": yaml.safe_load((run / "config.yaml").read_text())["seed"],
        **{name: round(metrics[f"{name}/zero_shot/top1"], 4) for name in SETS},
        "seconds": round(metrics["train/seconds"], 1),
    }


def grouped(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["objective"], row["views"]), []).append(row)
    return groups


def spread(rows: list[dict], name: str) -> tuple[float, float]:
    """Mean and standard deviation over the seeds, percent."""
    values = [100 * row[name] for row in rows]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(rows: list[dict]) -> str:
    lines = [
        f"| objective | views | seeds | {' | '.join(SETS.values())} |",
        f"|---|---|---|{'---|' * len(SETS)}",
    ]
    for (objective, views), group in grouped(rows).items():
        cells = ["{:.1f} ± {:.1f}".format(*spread(group, name)) for name in SETS]
        lines.append(f"| `{objective}` | `{views}` | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = grouped(rows)
    labels = [
        objective if objective != "clip" or views == "jittered" else f"clip, {views}"
        for objective, views in groups
    ]
    _, axes = plt.subplots(1, len(SETS), figsize=(11, 0.34 * len(groups) + 1.2), sharey=True)
    for axis, (name, title) in zip(axes, SETS.items(), strict=True):
        for row, group in enumerate(groups.values()):
            axis.plot([100 * r[name] for r in group], [row] * len(group), "o", c="#999", ms=4)
            axis.plot(spread(group, name)[0], row, "|", c="#0072b2", ms=13, mew=2.5)
        axis.axvline(spread(groups["clip", "jittered"], name)[0], c="#d55e00", lw=1, ls="--")
        axis.set(title=title, xlabel="top-1, %", xlim=(0, None))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].invert_yaxis()
    plt.tight_layout()
    plt.savefig(path, dpi=130)


def main(runs: list[str]) -> None:
    rows = [read(Path(run)) for run in runs if (Path(run) / "metrics.json").is_file()]
    rows.sort(key=lambda row: (row["objective"], row["views"], row["seed"]))
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    figure(rows, HERE / "top1.png")
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
