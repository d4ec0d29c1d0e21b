"""Which drawings go into which set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from cyclip_pl.data.prepare import emoji_images
from cyclip_pl.data.prepare.compare_images import difference, unambiguous
from cyclip_pl.data.prepare.emoji_names import Emoji, base_emoji
from cyclip_pl.data.prepare.emoji_splits import Splits, spread
from cyclip_pl.data.prepare.folder import write_json
from cyclip_pl.data.prepare.shards import (
    json_bytes,
    order,
    write_classification_set,
    write_labelled_split,
    write_retrieval_set,
    write_training_shards,
)

TEMPLATES = ("{c}", "an emoji of {c}", "a picture of {c}", "a drawing of {c}", "an icon of {c}")
"""Captions of the training images and prompts of the zero-shot sets; the first is the name."""

Style = Callable[[int], emoji_images.Draw]

VENDORS: dict[str, Style] = {"openmoji": emoji_images.openmoji, "twemoji": emoji_images.twemoji}
"""The colour styles, for training."""

SHIFTS: dict[str, Style] = {"line": emoji_images.openmoji_line, "mono": emoji_images.noto_mono}
"""The styles that are only evaluated."""

TRAINING_SHARDS = 16
SMALL = 100
"""Classes of the small sets."""

LEAST_CHANGE = 0.25
"""Mean difference, in grey levels of 255, below which two drawings look the same."""


class Drawing(NamedTuple):
    """One emoji in one style, as PNG bytes; its sample key is `<emoji key>__<style>`."""

    emoji: Emoji
    style: str
    png: bytes


Drawings = dict[str, Drawing]


@dataclass(frozen=True)
class Art:
    """Emoji by key, and PNG bytes by style and key; both vendors draw each emoji."""

    emoji: Mapping[str, Emoji]
    drawn: Mapping[str, Mapping[str, bytes]]

    def drawings(self, keys: Mapping[str, Iterable[str]]) -> Drawings:
        """The drawings of these keys by style."""
        return {
            f"{key}__{style}": Drawing(self.emoji[key], style, self.drawn[style][key])
            for style, of_style in keys.items()
            for key in of_style
        }


def draw(size: int, workers: int) -> Art:
    """Every style, `size` pixels per side."""
    emoji = {one.key: one for one in base_emoji()}
    drawn = {
        style: emoji_images.draw_all(make(size), emoji, workers)
        for style, make in {**VENDORS, **SHIFTS}.items()
    }
    in_all = {key: one for key, one in emoji.items() if all(key in drawn[v] for v in VENDORS)}
    return Art(in_all, drawn)


def write_all(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """Write all sets; returns the number of samples by folder name."""
    sets = _Sets(folder, seed)
    known = [art.emoji[key] for key in splits.known]
    trained = art.drawings(
        {style: set(splits.known) - set(keys) for style, keys in splits.held_out.items()}
    )
    training = {key: _training_sample(drawing) for key, drawing in trained.items()}
    write_training_shards(folder / "train", training, TRAINING_SHARDS, f"{seed}/train")
    sets.counts["train"] = len(training)

    # At most one held-out drawing per name.
    held_out = art.drawings(splits.held_out)
    few = spread([drawing.emoji for drawing in held_out.values()], SMALL, seed)
    sets.classification("emoji_unseen_pictures", held_out, known)
    sets.classification(f"emoji_unseen_pictures_{SMALL}", held_out, few)
    sets.retrieval("emoji_captions", held_out, _captions)

    # Both style shifts have the same 100 classes.
    clear = {style: _clear(art, splits.known, style) for style in SHIFTS}
    in_both = set.intersection(*clear.values())
    few = spread([art.emoji[key] for key in in_both], SMALL, seed)
    for style, keys in clear.items():
        drawings = art.drawings({style: keys})
        sets.classification(f"emoji_{style}", drawings, known)
        sets.classification(f"emoji_{style}_{SMALL}", drawings, few)

    # One drawing per name, the vendors in turn: with both, a right answer would count as wrong.
    shuffled = order(splits.unseen, f"{seed}/emoji_unseen_names")
    in_turn = {vendor: shuffled[i :: len(VENDORS)] for i, vendor in enumerate(VENDORS)}
    sets.retrieval("emoji_unseen_names", art.drawings(in_turn), lambda emoji: [emoji.name])
    unseen = art.drawings(dict.fromkeys(VENDORS, splits.unseen))
    unseen_names = [art.emoji[key] for key in splits.unseen]
    sets.classification("emoji_unseen_names_classes", unseen, unseen_names)

    # The training images with labels, for neighbours and probes: a name has two, a category
    # hundreds, and its test split is the drawings of the unseen names.
    names = sorted(emoji.name for emoji in known)
    categories = sorted({drawing.emoji.category for drawing in trained.values()})
    sets.labelled("emoji_categories", unseen, categories, "category")
    sets.labelled("emoji_unseen_pictures", trained, names, "name", train=True)
    sets.labelled("emoji_categories", trained, categories, "category", train=True)
    return sets.counts


def _training_sample(drawing: Drawing) -> dict[str, bytes]:
    emoji, style, png = drawing
    about = {**asdict(emoji), "style": style, "captions": _captions(emoji)}
    del about["key"]
    return {"png": png, "txt": emoji.name.encode(), "json": json_bytes(about)}


def _captions(emoji: Emoji) -> list[str]:
    return [template.replace("{c}", emoji.name) for template in TEMPLATES]


def _clear(art: Art, keys: Iterable[str], style: str) -> set[str]:
    """Keys whose drawing in a new style has one right answer and differs from training images.

    OpenMoji draws some emoji (a snowflake, arrows) without colour: their lines are a training
    image.
    """
    drawn = art.drawn[style]
    return {
        key
        for key in unambiguous({key: drawn[key] for key in keys if key in drawn})
        if all(difference(drawn[key], art.drawn[v][key]) > LEAST_CHANGE for v in VENDORS)
    }


@dataclass
class _Sets:
    """Writes sets below `folder` and counts their samples by folder name."""

    folder: Path
    seed: int
    counts: dict[str, int] = field(default_factory=dict)

    def retrieval(
        self, title: str, drawings: Drawings, captions: Callable[[Emoji], list[str]]
    ) -> None:
        self.counts[title] = write_retrieval_set(
            self.folder / title,
            {key: drawing.png for key, drawing in drawings.items()},
            {key: captions(drawing.emoji) for key, drawing in drawings.items()},
            salt=f"{self.seed}/{title}",
        )

    def classification(self, title: str, drawings: Drawings, classes: list[Emoji]) -> None:
        """The drawings of these names, with a hierarchy."""
        names = sorted(emoji.name for emoji in classes)
        of_these = {key: one for key, one in drawings.items() if one.emoji.name in set(names)}
        self.labelled(title, of_these, names, "name")
        write_json(self.folder / title / "hierarchy.json", hierarchy(classes))

    def labelled(
        self, title: str, drawings: Drawings, classes: list[str], level: str, train: bool = False
    ) -> None:
        """A classification set, or its training split; `level` of `Emoji` is the class."""
        images = {key: drawing.png for key, drawing in drawings.items()}
        labels = {key: getattr(drawing.emoji, level) for key, drawing in drawings.items()}
        name = f"{title}/train" if train else title
        folder, salt = self.folder / name, f"{self.seed}/{name}"
        self.counts[name] = (
            write_labelled_split(folder, images, labels, classes, salt=salt)
            if train
            else write_classification_set(folder, images, labels, classes, TEMPLATES, salt=salt)
        )


def hierarchy(classes: Iterable[Emoji]) -> dict[str, dict[str, list[str]]]:
    """Names by category and subcategory."""
    found: dict[str, dict[str, list[str]]] = {}
    for emoji in sorted(classes, key=lambda emoji: emoji.name):
        found.setdefault(emoji.category, {}).setdefault(emoji.subcategory, []).append(emoji.name)
    return found
