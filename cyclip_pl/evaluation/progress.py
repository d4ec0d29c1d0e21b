"""A progress bar of evaluations; a line per evaluation and set where there is no terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cyclip_pl.evaluation.watch import Watch


class EvaluationProgress(Watch):
    """One bar for all evaluations, and one for the images, texts or probes of the current one."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._done = -1  # pairs; the first has not begun
        self._total = 0
        self._bars: Progress | None = None

    def start(self, total: int) -> None:
        self._total = total
        if not self._console.is_terminal:
            return
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._all = self._bars.add_task("evaluations", total=total)
        self._stage = self._bars.add_task("", total=None, visible=False)
        self._bars.start()

    def begin(self, evaluation: str, dataset: str) -> None:
        self._done += 1
        what = f"{evaluation} of {dataset}"
        if self._bars is None:
            text = f"{what} ({self._done + 1} of {self._total})"
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self._bars.update(self._all, completed=self._done, description=escape(what[:40]))

    def stage(self, what: str, total: int) -> None:
        if self._bars is not None:
            self._bars.reset(self._stage, total=total, description=escape(what), visible=True)

    def advance(self, count: int = 1) -> None:
        if self._bars is not None:
            self._bars.advance(self._stage, count)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
