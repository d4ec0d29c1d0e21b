"""Runs side by side: a table, plots, and a page of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cyclip_pl.reports.canvas import Plot, check_matplotlib, look
from cyclip_pl.reports.exports import print_table, to_csv, to_markdown
from cyclip_pl.reports.page import page
from cyclip_pl.reports.plots import consistency, geometry, hierarchy, pca, robustness, similarity
from cyclip_pl.reports.runs import Run, read_runs
from cyclip_pl.reports.table import groups

_PLOTS = (consistency, hierarchy, robustness, similarity, pca, geometry)


def compare(folders: Sequence[Path], output: Path, names: Sequence[str] | None = None) -> None:
    """Write `table.csv`, `table.md`, the plots as PNG and `report.html`; print the table.

    Args:
        folders: Run folders.
        output: The folder to write into, made if need be.
        names: What to call the runs; by their folders if None.

    Raises:
        ValueError: One line that names the folder or the file.
    """
    check_matplotlib()
    runs = read_runs(folders, names)
    table = groups(runs)
    plots, missing = draw(runs)
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "table.csv", to_csv(runs).encode())
    _write(output / "table.md", to_markdown(runs, table).encode())
    for plot in plots:
        _write(output / f"{plot.name}.png", plot.png)
    _write(output / "report.html", page(runs, table, plots, missing).encode())
    print_table(runs, table)
    for line in missing:
        print(line)
    print(f"report: {output / 'report.html'}")


def draw(runs: Sequence[Run]) -> tuple[list[Plot], list[str]]:
    """The plots for which a run has data, and a line for each of the others.

    Raises:
        ValueError: One line that names the file that is malformed.
    """
    plots, missing = [], []
    with look():
        for module in _PLOTS:
            drawn = module.draw(runs)
            plots += drawn
            if not drawn:
                missing.append(f"no {module.NAME} plot: no run has {module.NEEDS}")
    return plots, missing


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
