"""Training and test sides: a group of nearly equal drawings is on one side of every split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest

from cyclip_pl.data.prepare.emoji_names import Emoji
from cyclip_pl.data.prepare.shards import order

UNSEEN_NAMES = 0.15
"""Share of the keys that are in no training image or caption."""

HELD_OUT = 0.15
"""Share of the known keys with one vendor's drawing held out."""


@dataclass(frozen=True)
class Splits:
    """Keys of known and unseen names, and per vendor the keys whose drawing is held out."""

    known: list[str]
    unseen: list[str]
    held_out: dict[str, list[str]]


def split(
    group: Mapping[str, Hashable],
    vendors: Sequence[str],
    seed: int,
    always_known: Set[str] = frozenset(),
) -> Splits:
    """Split keys by group, each group whole.

    Args:
        group: Group by key; the emoji of a group have nearly the same drawing.
        vendors: Colour styles; each has equally many of the held-out drawings.
        seed: Of the choice.
        always_known: Keys whose whole group is known.
    """
    members: dict[Hashable, list[str]] = defaultdict(list)
    for key in sorted(group):
        members[group[key]].append(key)
    # Named by the first member, so that a group keeps its side when other groups change.
    groups = {keys[0]: keys for keys in members.values()}

    unseen: list[str] = []
    known_groups = []
    for name in order(groups, f"{seed}/names"):
        fits = len(unseen) + len(groups[name]) <= round(UNSEEN_NAMES * len(group))
        if fits and always_known.isdisjoint(groups[name]):
            unseen += groups[name]
        else:
            known_groups.append(name)
    known = sorted(key for name in known_groups for key in groups[name])

    quota = round(HELD_OUT * len(known) / len(vendors))
    held_out: dict[str, list[str]] = {vendor: [] for vendor in vendors}
    for name in order(known_groups, f"{seed}/pictures"):
        for keys in held_out.values():
            if len(keys) + len(groups[name]) <= quota:
                keys += groups[name]
                break
    return Splits(known, sorted(unseen), {v: sorted(keys) for v, keys in held_out.items()})


def parts_of_others(names: Mapping[str, str]) -> set[str]:
    """Keys whose name is part of another name, as `tiger` is of `tiger face`.

    Training captions would hold these names although they count as unseen.
    """
    words = re.compile(r"[^\W_]+")
    phrase = {key: f" {' '.join(words.findall(name.lower()))} " for key, name in names.items()}
    return {
        key
        for key, part in phrase.items()
        if any(part in whole for other, whole in phrase.items() if other != key)
    }


def spread(emoji: Sequence[Emoji], count: int, seed: int) -> list[Emoji]:
    """`count` of the emoji, taken from the categories in turn; sorted by name."""
    by_key = {one.key: one for one in emoji}
    by_category: dict[str, list[Emoji]] = defaultdict(list)
    for key in order(by_key, f"{seed}/spread"):
        by_category[by_key[key].category].append(by_key[key])
    in_turn = zip_longest(*(by_category[category] for category in sorted(by_category)))
    chosen = [one for turn in in_turn for one in turn if one is not None]
    return sorted(chosen[:count], key=lambda one: one.name)
