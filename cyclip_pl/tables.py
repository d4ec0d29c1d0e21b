"""Rows of a CSV or TSV, with a rule for quotation marks that loses no row in silence.

A CSV writer puts a field in marks if it holds the delimiter, a mark or a line break, and doubles
the marks inside (`csv`). Elsewhere a mark is a character like any other, and each line is a row
(`text`). Most tables make sense in one of these ways only.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

QUOTING = ("csv", "text")
LONGEST = 1 << 24  # characters in a row of several lines


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        number: The line where it begins; the first is 1.
        fields: Its fields, as many as the header has; empty if it is not a row.
        problem: Why it is not a row.
        lines: Its lines, if one of its fields begins with a quotation mark.
    """

    number: int
    fields: list[str]
    problem: str = ""
    lines: tuple[str, ...] = ()


def read_table(path: Path, delimiter: str, quoting: str) -> Iterator[TableRow]:
    """All rows in order, the header first; empty lines are left out.

    After a line that is not a row, reading goes on with the next line. Bytes that are not UTF-8
    become surrogates.

    Args:
        quoting: `csv` or `text`.
    """
    width = 0
    for row in _rows(path, delimiter, quoting):
        width = width or len(row.fields)
        if len(row.fields) != width and not row.problem:
            problem = f"{len(row.fields)} columns, the header has {width}"
            row = row._replace(fields=[], problem=problem)
        yield row


def read_header(path: Path, delimiter: str) -> list[str]:
    """The names of the columns, stripped; empty for an empty file.

    Raises:
        ValueError: The first line is not text; one line.
    """
    for quoting in QUOTING:
        first = next(read_table(path, delimiter, quoting), TableRow(1, []))
        if not first.problem:
            return [name.strip() for name in first.fields]
    raise ValueError(f"{path}, line {first.number}: {first.problem}")


def find_quoting(
    path: Path, delimiter: str, is_row: Callable[[list[str]], bool]
) -> tuple[str, int]:
    """How quotation marks are meant, `csv` or `text`, and the number of rows that begin with one.

    Args:
        is_row: Whether these fields are a row, as far as can be told, and not lines of a text.

    Raises:
        ValueError: They may be meant in both ways, and a row would be lost in one; one line.
    """
    as_csv = _Reading(read_table(path, delimiter, "csv"), delimiter, is_row)
    if not as_csv.marked:
        return "csv", 0
    as_text = _Reading(read_table(path, delimiter, "text"), delimiter, is_row)
    if as_csv.header == as_text.header and as_csv.wrong >= as_text.wrong:
        if as_csv.wrong > as_text.wrong or as_csv.swallowed:
            return "text", as_csv.marked
        whole = as_csv.marked == as_csv.rows - 1
        if not (as_csv.joined or as_csv.doubled or whole or delimiter in ",;"):
            return (
                "text",
                as_csv.marked,
            )  # marks around some fields of a TSV: they are as good as text
    if as_csv.swallowed:
        raise ValueError(
            f"{path}, line {as_csv.swallowed}: a quotation mark opens and closes in a later line, "
            "and there are rows between"
        )
    return "csv", as_csv.marked


class _Reading:
    """What a table looks like if it is read in one way.

    Attributes:
        header: Its first row.
        rows, wrong, marked: All rows, the lines that are not rows, and rows with marks.
        doubled, joined: Rows with doubled marks inside, and rows of several lines.
        swallowed: Where the first row begins that holds another row; 0 if none does.
    """

    def __init__(
        self, table: Iterable[TableRow], delimiter: str, is_row: Callable[[list[str]], bool]
    ) -> None:
        self.header: list[str] | None = None
        self.rows = self.wrong = self.marked = self.doubled = self.joined = self.swallowed = 0
        for row in table:
            self.header = row.fields if self.header is None else self.header
            self.rows += 1
            self.wrong += bool(row.problem)
            self.marked += bool(row.lines)
            self.doubled += any('""' in line for line in row.lines) and '"' in "".join(row.fields)
            self.joined += len(row.lines) > 1
            for line in row.lines[1:]:
                fields = line.split(delimiter)
                if len(fields) == len(self.header) and is_row(fields):
                    self.swallowed = self.swallowed or row.number


def _rows(path: Path, delimiter: str, quoting: str) -> Iterator[TableRow]:
    csv.field_size_limit(LONGEST)
    with open(path, newline="\n", encoding="utf-8-sig", errors="surrogateescape") as file:
        lines, number = _Lines(file), 1
        for line in lines:
            if "\0" in line:
                yield TableRow(number, [], "NUL bytes, so it is not UTF-8 text")
            elif line.startswith('"') or f'{delimiter}"' in line:
                if quoting == "text":
                    yield TableRow(number, line.split(delimiter), lines=(line,))
                else:
                    row = _marked(number, line, lines, delimiter)
                    number += len(row.lines) - 1
                    yield row
            elif line:
                yield TableRow(number, line.split(delimiter))
            number += 1


class _Lines:
    """The lines of a file, without their ends; some can be put back."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self._back: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._back.popleft() if self._back else next(self._file).rstrip("\r\n")

    def put_back(self, lines: list[str]) -> None:
        self._back.extendleft(reversed(lines))


def _marked(number: int, line: str, lines: _Lines, delimiter: str) -> TableRow:
    """A row that begins with `line`, where a field begins with a mark."""
    with suppress(csv.Error):  # most end on their line
        return TableRow(
            number, next(csv.reader((line,), delimiter=delimiter, strict=True)), "", (line,)
        )
    taken = [line]

    def of_the_row() -> Iterator[str]:
        yield f"{line}\n"
        length = 0
        while length < LONGEST and (following := next(lines, None)) is not None:
            taken.append(following)
            length += len(following)
            yield f"{following}\n"

    try:
        fields = next(csv.reader(of_the_row(), delimiter=delimiter, strict=True))
    except csv.Error:
        lines.put_back(taken[1:])
        return TableRow(number, [], "misplaced quotation mark", (line,))
    return TableRow(number, fields, lines=tuple(taken))
