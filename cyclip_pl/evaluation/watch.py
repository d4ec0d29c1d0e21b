"""What is told of evaluations while they run."""

from __future__ import annotations


class Watch:
    """Tells nothing; a subclass shows what it is told. Only the first rank's shows anything."""

    def start(self, total: int) -> None:
        """`total` pairs of an evaluation and a set follow."""

    def begin(self, evaluation: str, dataset: str) -> None:
        """The next of these pairs begins."""

    def stage(self, what: str, total: int) -> None:
        """Within it, `total` images, texts or probes follow."""

    def advance(self, count: int = 1) -> None:
        """So many of them are done."""

    def close(self) -> None:
        """All is done, or an error ends it."""
