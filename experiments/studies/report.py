"""A study's tables and plots from its rows, put into its README.

`<!-- table status -->` gets how many runs there are. `study.yaml` says what else is shown:

    tables:
      accuracy:                          # between <!-- table accuracy --> and <!-- end -->
        metrics: {line: emoji_line/zero_shot/acc1}
        baseline: clip                   # or by cell, {cyclip: clip}; a second table of differences
        cells: [clip, cyclip]            # default: all
        rows: cells                      # or metrics
        means: true                      # false: differences alone
    plots:
      accuracy.png: {kind: differences, table: accuracy}  # a kind of plots.py
    claims: …                            # see claims.py; into experiments/README.md
    effective_robustness: …              # a metric more, see effective_robustness.py
"""

from __future__ import annotations

import re
from pathlib import Path

from studies import claims, plan, plots, rows
from studies.effective_robustness import with_effective_robustness
from studies.plan import Study
from studies.status import status
from studies.tables import tables
from studies.values import Values, values


def write(study: Study) -> None:
    """Write the tables into the READMEs, also of studies that refer to it, and draw the plots."""
    others = (other for other in map(plan.read, plan.names()) if study.name in referred(other))
    for one in (study, *others):
        for path, text in texts(one).items():
            path.write_text(text, "utf-8")
    found = numbers(study)
    for file, wanted in study.settings.get("plots", {}).items() if found else ():
        plots.draw(found, study, wanted, study.folder / file)


def texts(study: Study) -> dict[Path, str]:
    """The READMEs that show something of a study, as they should be."""
    found = numbers(study)
    readme, overview = study.folder / "README.md", study.folder.parent / "README.md"
    text = placed(readme.read_text("utf-8"), "status", status(study))
    for name, wanted in study.settings.get("tables", {}).items():
        text = placed(text, name, "\n\n".join(tables(found, wanted)))
    if not (listed := study.settings.get("claims")):
        return {readme: text}
    all_claims = claims.table(lambda name: numbers(plan.read(name)) if name else found, listed)
    return {readme: text, overview: placed(overview.read_text("utf-8"), study.name, all_claims)}


def numbers(study: Study) -> Values:
    """The numbers of its rows, in its cells' order, and its effective robustness if asked for."""
    unordered = values(rows.read(study.results))
    cells = dict.fromkeys([*(run.cell for run in study.runs()), *unordered])
    found = {cell: unordered[cell] for cell in cells if cell in unordered}
    if not (wanted := study.settings.get("effective_robustness")):
        return found
    line = values(rows.read(plan.read(wanted["line"]["study"]).results))
    return with_effective_robustness(found, line, wanted)


def referred(study: Study) -> set[str]:
    """The names of other studies whose rows its tables show."""
    named = {claim.get("study") for claim in study.settings.get("claims", ())}
    named.add(study.settings.get("effective_robustness", {}).get("line", {}).get("study"))
    return named - {None}


def placed(text: str, name: str, content: str) -> str:
    """A README with `content` between the marks of a table.

    Raises:
        ValueError: The README has no such marks.
    """
    marks = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"README.md: no <!-- table {name} --> … <!-- end -->")
    return marks.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)
