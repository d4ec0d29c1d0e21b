"""Runs side by side: tables, plots, galleries, and a page with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from rich.console import Console

from cyclip_pl.files import atomic
from cyclip_pl.reports import galleries
from cyclip_pl.reports.best import find_best
from cyclip_pl.reports.canvas import look, to_png
from cyclip_pl.reports.differences import differences
from cyclip_pl.reports.exports import print_table, to_csv, to_markdown
from cyclip_pl.reports.groups import groups
from cyclip_pl.reports.headline import headline
from cyclip_pl.reports.page import Examples, Page, Plot, page
from cyclip_pl.reports.paired_table import paired_differences, paired_groups
from cyclip_pl.reports.plots import (
    consistency,
    curves,
    geometry,
    hierarchy,
    matrix,
    paired,
    pca,
    robustness,
    similarity,
)
from cyclip_pl.reports.runs import Run, read_runs
from cyclip_pl.reports.seeds import over_seeds
from cyclip_pl.reports.sweeps import expand

_PLOTS = (
    curves,
    paired,
    consistency,
    hierarchy,
    robustness,
    matrix,
    similarity,
    pca,
    geometry,
)
_EXAMPLES = (
    (
        "Captions and the images found first",
        galleries.retrieval,
        "The first five images for a caption. Green frame: the caption's own image, which also "
        "stands beside the caption. Below an image: its cosine.",
        "details of evaluation=[retrieval]",
    ),
    (
        "Nearest training images",
        galleries.neighbours,
        "The training images nearest to a test image, by the encoder's features. Green frame: the "
        "same class.",
        "details of evaluation=[knn]",
    ),
    (
        "Most confident mistakes",
        galleries.failures,
        "Zero-shot predictions that are wrong by the largest lead of their cosine over that of the "
        "true class.",
        "details of evaluation=[zero_shot]",
    ),
    (
        "Confused classes",
        galleries.confusions,
        "Pairs of classes that are most often confused, with the number of images. –: not among "
        "the run's 50 most frequent pairs.",
        "details of evaluation=[zero_shot]",
    ),
)


def compare(
    given: Sequence[Path],
    output: Path,
    names: Sequence[str] | None = None,
    asked: str | None = None,
) -> None:
    """Write tables, the plots as PNG and `report.html`; print the table and the best run.

    Args:
        given: Run folders, and folders of sweeps, which stand for their runs.
        output: The folder to write into; it is made if missing.
        names: The runs' names in the report; None takes the folders' names, and within a sweep
            what differs between its runs.
        asked: The metric that says which run is the best, see `find_best`.

    Raises:
        ValueError: One line that names the folder, the file or the argument.
    """
    found = expand(given)
    runs = read_runs(found.folders, found.names if names is None else names)
    best = find_best(runs, asked)
    table = groups(runs)
    first = headline(runs, table, best, found.failed)
    differ = differences([run.config for run in runs])
    plots, missing = draw(runs)
    # Where not all fit side by side, the best are shown.
    ranked = [*(best.order if best else ()), *range(len(runs))]
    chosen = sorted([*dict.fromkeys(ranked)][: galleries.RUNS])
    examples = []
    for title, collect, caption, needs in _EXAMPLES:
        if shown := collect([runs[n] for n in chosen]):
            examples.append(Examples(title, caption, shown))
        else:
            missing.append((title, needs))
    content = Page(
        runs,
        first,
        differ,
        table,
        over_seeds(runs, differ),
        paired_groups(paired_differences(runs)),
        plots,
        examples,
        missing,
    )
    contents = {
        "table.csv": to_csv(runs).encode(),
        "table.md": to_markdown(runs, table).encode(),
        **{f"{plot.name}.png": plot.png for plot in plots},
        "report.html": page(content).encode(),
    }
    for name, data in contents.items():
        with atomic(output / name) as partial:
            partial.write_bytes(data)
    print_table(runs, table)
    said = " ".join(first.sentences)
    titles = ", ".join(title for title, _ in missing)
    hidden = f"not shown: {titles}; the page says what they need" if missing else ""
    for text in filter(None, (said, hidden)):
        print(fill(text, Console().width, break_long_words=False))
    print(
        *(f"failed: {name}" for name in first.failed), f"report: {output / 'report.html'}", sep="\n"
    )


def draw(runs: Sequence[Run]) -> tuple[list[Plot], list[tuple[str, str]]]:
    """The plots for which a run has data; title and what it takes of every other kind."""
    plots, missing = [], []
    with look():
        for kind in _PLOTS:
            files = [to_png(figure) for figure in kind.draw(runs)]
            for count, png in enumerate(files, start=1):
                name = f"{kind.NAME}_{count}" if len(files) > 1 else kind.NAME
                plots.append(Plot(name, kind.TITLE, kind.CAPTION, png))
            if not files:
                missing.append((kind.TITLE, kind.NEEDS))
    return plots, missing
