"""Which drawings go into which set; each writer returns sample counts by folder name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cyclip_pl.data.prepare import emoji_images
from cyclip_pl.data.prepare.compare_images import difference, fingerprint, unambiguous
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

TEMPLATES = (
    "{c}",
    "an emoji of {c}",
    "a picture of {c}",
    "a drawing of {c}",
    "an icon of {c}",
)
"""Captions of the training images and prompts of the zero-shot sets; the first is the name."""

VENDORS = ("openmoji", "twemoji")
"""The colour styles, for training."""

SHIFTS = ("line", "mono")
"""The styles that are only evaluated."""

TRAINING_SHARDS = 16
SMALL = 100
"""Classes of the small sets."""

LEAST_CHANGE = 0.25
"""Mean difference, in grey levels of 255, below which two drawings look the same."""


@dataclass(frozen=True)
class Art:
    """Emoji by key, and PNG bytes by style and key; both vendors draw each emoji."""

    emoji: Mapping[str, Emoji]
    drawn: Mapping[str, Mapping[str, bytes]]

    def fingerprints(self, style: str) -> dict[str, str]:
        """A hash of the pixels, by key."""
        return {key: fingerprint(self.drawn[style][key]) for key in self.emoji}

    def samples(self, style: str, keys: Iterable[str]) -> dict[str, tuple[Emoji, bytes]]:
        """Emoji and PNG bytes by sample key, which includes the style."""
        return {f"{key}__{style}": (self.emoji[key], self.drawn[style][key]) for key in keys}


def draw(size: int, workers: int) -> Art:
    """Every style, `size` pixels per side."""
    emoji = {one.key: one for one in base_emoji()}
    styles = {
        "openmoji": emoji_images.openmoji,
        "twemoji": emoji_images.twemoji,
        "line": emoji_images.openmoji_line,
        "mono": emoji_images.noto_mono,
    }
    assert set(styles) == {*VENDORS, *SHIFTS}
    drawn = {
        style: emoji_images.draw_all(make(size), emoji, workers) for style, make in styles.items()
    }
    in_all = {key: one for key, one in emoji.items() if all(key in drawn[v] for v in VENDORS)}
    return Art(in_all, drawn)


def write_training(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """Both vendors' drawings of the known names, without the held-out ones."""
    samples = {
        sample: _with_captions(emoji, sample.rsplit("__")[-1], png)
        for sample, (emoji, png) in _trained_on(art, splits).items()
    }
    sizes = write_training_shards(folder / "train", samples, TRAINING_SHARDS, f"{seed}/train")
    return {"train": sum(sizes.values())}


def _trained_on(art: Art, splits: Splits) -> dict[str, tuple[Emoji, bytes]]:
    samples: dict[str, tuple[Emoji, bytes]] = {}
    for style in VENDORS:
        samples |= art.samples(style, sorted(set(splits.known) - set(splits.held_out[style])))
    return samples


def _captions(emoji: Emoji) -> list[str]:
    return [template.replace("{c}", emoji.name) for template in TEMPLATES]


def _with_captions(emoji: Emoji, style: str, png: bytes) -> dict[str, bytes]:
    captions = _captions(emoji)
    description = {
        "name": emoji.name,
        "category": emoji.category,
        "subcategory": emoji.subcategory,
        "style": style,
        "captions": captions,
    }
    return {"png": png, "txt": captions[0].encode(), "json": json_bytes(description)}


def _held_out(art: Art, splits: Splits) -> dict[str, tuple[Emoji, bytes]]:
    """The held-out drawings: at most one per name."""
    samples: dict[str, tuple[Emoji, bytes]] = {}
    for style in VENDORS:
        samples |= art.samples(style, splits.held_out[style])
    return samples


def write_unseen_pictures(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """The held-out drawings, once with all known classes and once with 100 of them."""
    samples = _held_out(art, splits)
    few = spread([emoji for emoji, _ in samples.values()], SMALL, seed)
    title = "emoji_unseen_pictures"
    return {
        **_classification(folder, title, samples, _known(art, splits), seed),
        **_classification(folder, f"{title}_{SMALL}", samples, few, seed),
    }


def write_captions(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """The held-out drawings with all captions of their names, for retrieval."""
    title = "emoji_captions"
    samples = _held_out(art, splits)
    pairs = write_retrieval_set(
        folder / title,
        {sample: png for sample, (_, png) in samples.items()},
        {sample: _captions(emoji) for sample, (emoji, _) in samples.items()},
        salt=f"{seed}/{title}",
    )
    return {title: pairs}


def write_style_shifts(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """Known names as lines and as glyphs, with the same 100 classes."""
    clear = {style: _clear(art, splits.known, style) for style in SHIFTS}
    in_both = [art.emoji[key] for key in splits.known if all(key in clear[s] for s in SHIFTS)]
    few = spread(in_both, SMALL, seed)
    counts: dict[str, int] = {}
    for style in SHIFTS:
        samples = art.samples(style, sorted(clear[style]))
        title = f"emoji_{style}"
        counts |= _classification(folder, title, samples, _known(art, splits), seed)
        counts |= _classification(folder, f"{title}_{SMALL}", samples, few, seed)
    return counts


def _clear(art: Art, keys: Iterable[str], style: str) -> set[str]:
    """Keys whose drawing in a new style has one right answer and differs from training images.

    OpenMoji draws some emoji (a snowflake, arrows) without colour: their lines are a training
    image.
    """
    found = unambiguous({key: art.drawn[style][key] for key in keys if key in art.drawn[style]})
    return {
        key
        for key in found
        if all(difference(art.drawn[style][key], art.drawn[v][key]) > LEAST_CHANGE for v in VENDORS)
    }


def write_unseen_names(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """The unseen names, as a retrieval set and as a classification set."""
    title = "emoji_unseen_names"
    # One drawing per name, the vendors in turn: with both, a right answer would count as wrong.
    one_each: dict[str, tuple[Emoji, bytes]] = {}
    for i, key in enumerate(order(splits.unseen, f"{seed}/{title}")):
        one_each |= art.samples(VENDORS[i % len(VENDORS)], [key])
    pairs = write_retrieval_set(
        folder / title,
        {sample: png for sample, (_, png) in one_each.items()},
        {sample: [emoji.name] for sample, (emoji, _) in one_each.items()},
        salt=f"{seed}/{title}",
    )
    both: dict[str, tuple[Emoji, bytes]] = {}
    for style in VENDORS:
        both |= art.samples(style, splits.unseen)
    classes = [art.emoji[key] for key in splits.unseen]
    return {title: pairs, **_classification(folder, f"{title}_classes", both, classes, seed)}


def write_labelled_training(folder: Path, art: Art, splits: Splits, seed: int) -> dict[str, int]:
    """The training images with labels, for neighbours and probes.

    They are labelled by name, beside the held-out images, and by category, with the drawings of the
    unseen names as the test split. A category has hundreds of images, a name has two.
    """
    trained = _trained_on(art, splits)
    unseen: dict[str, tuple[Emoji, bytes]] = {}
    for style in VENDORS:
        unseen |= art.samples(style, splits.unseen)
    names = sorted(emoji.name for emoji in _known(art, splits))
    categories = sorted({emoji.category for emoji, _ in trained.values()})
    title = "emoji_categories"
    write_classification_set(
        folder / title,
        {sample: png for sample, (_, png) in unseen.items()},
        {sample: emoji.category for sample, (emoji, _) in unseen.items()},
        categories,
        TEMPLATES,
        salt=f"{seed}/{title}",
    )
    images = {sample: png for sample, (_, png) in trained.items()}
    counts = {title: len(unseen)}
    for name, classes, labels in (
        ("emoji_unseen_pictures", names, {s: emoji.name for s, (emoji, _) in trained.items()}),
        (title, categories, {s: emoji.category for s, (emoji, _) in trained.items()}),
    ):
        salt = f"{seed}/{name}/train"
        split = folder / name / "train"
        counts[f"{name}/train"] = write_labelled_split(split, images, labels, classes, salt=salt)
    return counts


def _known(art: Art, splits: Splits) -> list[Emoji]:
    return [art.emoji[key] for key in splits.known]


def _classification(
    folder: Path,
    title: str,
    samples: Mapping[str, tuple[Emoji, bytes]],
    classes: Iterable[Emoji],
    seed: int,
) -> dict[str, int]:
    """A set of the samples with these classes, which are sorted by name."""
    classes = list(classes)
    names = sorted(emoji.name for emoji in classes)
    of_these = {s: pair for s, pair in samples.items() if pair[0].name in set(names)}
    count = write_classification_set(
        folder / title,
        {sample: png for sample, (_, png) in of_these.items()},
        {sample: emoji.name for sample, (emoji, _) in of_these.items()},
        names,
        TEMPLATES,
        salt=f"{seed}/{title}",
    )
    write_json(folder / title / "hierarchy.json", hierarchy(classes))
    return {title: count}


def hierarchy(classes: Iterable[Emoji]) -> dict[str, dict[str, list[str]]]:
    """Names by category and subcategory."""
    found: dict[str, dict[str, list[str]]] = {}
    for emoji in sorted(classes, key=lambda emoji: emoji.name):
        found.setdefault(emoji.category, {}).setdefault(emoji.subcategory, []).append(emoji.name)
    return found
