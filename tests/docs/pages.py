"""The README and the pages of docs/, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]


class Block(NamedTuple):
    """A fenced block of a page; `title` is the file that its text belongs into, if it has one."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order; those inside a list without their indent."""
    fence = r'^( *)```(\w*)(?: title="(.*?)")?\n(.*?)^\1```$'
    found = re.findall(fence, page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [
        Block(page, language, title, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, title, text in found
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]
FILES = {block.title: block.text for block in BLOCKS if block.title}


def table(page: str, header: str) -> list[list[str]]:
    """The rows of the table of docs/`page` that begins with `header`, a list of cells each."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert header in text, f"{page} has no table {header}"
    lines = text.partition(header)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def names(cell: str) -> list[str]:
    """What a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)
