"""The shell commands of a page."""

from __future__ import annotations

import re
import shlex
from string import Template

from tests.docs.pages import BLOCKS, Block

_ASSIGNMENT = re.compile(r"([A-Z_]+)=(\S*)")


def commands(block: Block) -> list[list[str]]:
    """The commands of a block as lists of words, variables filled in."""
    variables: dict[str, str] = {}
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if assigned := _ASSIGNMENT.fullmatch(line.strip()):
            variables[assigned[1]] = assigned[2]
        filled = re.sub(r"\$[A-Z_]+", "", Template(line).safe_substitute(variables))
        words = shlex.split(filled, comments=True)
        while words and (words[0] == "srun" or _ASSIGNMENT.fullmatch(words[0])):
            words.pop(0)
        if words and words[0] != "[":
            found.append(words)
    return found


COMMANDS = [
    (f"{block.page.name}: {' '.join(words)}", words)
    for block in BLOCKS
    if block.language == "sh"
    for words in commands(block)
]
