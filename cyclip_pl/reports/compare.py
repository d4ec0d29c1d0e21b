"""Runs side by side: a table, plots, and a page with both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cyclip_pl.files import atomic
from cyclip_pl.reports.canvas import look, to_png
from cyclip_pl.reports.exports import print_table, to_csv, to_markdown
from cyclip_pl.reports.groups import groups
from cyclip_pl.reports.page import Plot, page
from cyclip_pl.reports.plots import consistency, geometry, hierarchy, pca, robustness, similarity
from cyclip_pl.reports.runs import Run, read_runs

_PLOTS = (consistency, hierarchy, robustness, similarity, pca, geometry)


def compare(folders: Sequence[Path], output: Path, names: Sequence[str] | None = None) -> None:
    """Write `table.csv`, `table.md`, the plots as PNG and `report.html`; print the table.

    Args:
        folders: Run folders.
        output: The folder to write into; it is made if missing.
        names: The runs' names in the report; None takes the folders' names.

    Raises:
        ValueError: One line that names the folder or the file.
    """
    runs = read_runs(folders, names)
    table = groups(runs)
    plots, missing = draw(runs)
    contents = {
        "table.csv": to_csv(runs).encode(),
        "table.md": to_markdown(runs, table).encode(),
        **{f"{plot.name}.png": plot.png for plot in plots},
        "report.html": page(runs, table, plots, missing).encode(),
    }
    for name, content in contents.items():
        with atomic(output / name) as partial:
            partial.write_bytes(content)
    print_table(runs, table)
    print(*missing, f"report: {output / 'report.html'}", sep="\n")


def draw(runs: Sequence[Run]) -> tuple[list[Plot], list[str]]:
    """The plots for which a run has data, and one line for each kind of plot without data."""
    plots, missing = [], []
    with look():
        for kind in _PLOTS:
            files = [to_png(figure) for figure in kind.draw(runs)]
            for count, png in enumerate(files, start=1):
                name = f"{kind.NAME}_{count}" if len(files) > 1 else kind.NAME
                plots.append(Plot(name, kind.TITLE, kind.CAPTION, png))
            if not files:
                missing.append(f"no {kind.NAME} plot: no run has {kind.NEEDS}")
    return plots, missing
