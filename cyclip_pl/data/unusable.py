"""Why a sample is left out."""

from __future__ import annotations


class Unusable(Exception):
    """A sample to leave out.

    Attributes:
        reason: what it is counted under in `Batch.skipped`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


def first_line(error: Exception) -> str:
    """What an error says, or what it is called."""
    return (str(error) or type(error).__name__).splitlines()[0]
