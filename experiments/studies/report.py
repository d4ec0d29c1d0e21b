"""A study's tables and plots from its rows, put into its README.

`<!-- table status -->` gets how many runs there are. `study.yaml` says what else is shown:

    tables:
      accuracy:                          # between <!-- table accuracy --> and <!-- end -->
        metrics: {line: emoji_line/zero_shot/acc1}
        baseline: clip                   # or by cell, {cyclip: clip}; a second table of differences
        cells: [clip, cyclip]            # default: all
        rows: cells                      # or metrics
    plots:
      accuracy.png: {kind: differences, table: accuracy}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclip_pl.metric_kinds import kind_of
from studies import intervals, plots, rows
from studies.plan import Study
from studies.values import Values, baseline, paired, values


def write(study: Study) -> None:
    """Write the tables into the README and draw the plots; what has no rows yet stays empty."""
    found = values(rows.read(study.results))
    readme = study.folder / "README.md"
    text = placed(readme.read_text("utf-8"), "status", status(study))
    for name, wanted in study.settings.get("tables", {}).items():
        text = placed(text, name, "\n\n".join(tables(found, wanted)))
    readme.write_text(text, "utf-8")
    for file, wanted in study.settings.get("plots", {}).items():
        plots.draw(found, study, wanted, study.folder / file)


def status(study: Study) -> str:
    """How much of the study there is, and on which processors."""
    runs = study.runs()
    found = rows.read(study.results)
    wanted = {(run.cell, str(run.seed)) for run in runs}
    done = sum((one["cell"], one["seed"]) in wanted for one in found)
    if not done:
        return f"None of the {len(runs)} runs has ended."
    hours = sum(float(one["seconds"]) for one in found) / 3600
    cpus = ", ".join(sorted({one["cpu"] for one in found}))
    ended = f"{done} of {len(runs)} runs have ended" if done < len(runs) else f"All {done} runs"
    return f"{ended}: {hours:.1f} hours of training on {cpus}, one thread per run."


def placed(text: str, name: str, content: str) -> str:
    """A README with `content` between the marks of a table.

    Raises:
        ValueError: The README has no such marks.
    """
    marks = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"README.md: no <!-- table {name} --> … <!-- end -->")
    return marks.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)


def tables(found: Values, wanted: Mapping[str, Any]) -> list[str]:
    """The means, and if there is a baseline the paired differences from it, in Markdown."""
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

    made = [_table(cells, metrics, mean, wanted, counted(found, cells))]
    if "baseline" in wanted:
        compared = [cell for cell in cells if baseline(wanted, cell) not in (None, cell)]
        notes = [f"minus `{baseline(wanted, cell)}`" for cell in compared]
        if compared:
            made.append(_table(compared, metrics, difference, wanted, notes))
    return made


def counted(found: Values, cells: Sequence[str]) -> list[str]:
    """How many seeds each cell has."""
    counts = [max(map(len, found[cell].values())) for cell in cells]
    return [f"{count} seed{'s' if count > 1 else ''}" for count in counts]


def shown(mean: intervals.Mean, metric: str, sign: bool = False) -> str:
    """`34.1 ± 1.2`: a mean and half of its interval, fractions in percent."""
    percent = kind_of(metric.rpartition("/")[2]).unit in ("%", "pp")
    factor, digits = (100, 1) if percent else (1, 3)
    value = f"{factor * mean.value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    return value if mean.n < 2 else f"{value} ± {factor * mean.half:.{digits}f}"


def _table(
    cells: Sequence[str],
    metrics: Mapping[str, str],
    text: Callable[[str, str], str],
    wanted: Mapping[str, Any],
    notes: Sequence[str],
) -> str:
    if wanted.get("rows", "cells") == "cells":
        lines = [["", "", *metrics]]
        lines += [
            [f"`{cell}`", note, *(text(cell, one) for one in metrics.values())]
            for cell, note in zip(cells, notes, strict=True)
        ]
    else:
        heads = [f"`{cell}`, {note}" for cell, note in zip(cells, notes, strict=True)]
        lines = [["", *heads]]
        lines += [[name, *(text(cell, one) for cell in cells)] for name, one in metrics.items()]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
