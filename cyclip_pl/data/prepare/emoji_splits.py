"""Training and test sides: a group of nearly equal drawings is on one side of every split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from cyclip_pl.data.prepare.emoji_names import Emoji
from cyclip_pl.data.prepare.shards import order


@dataclass(frozen=True)
class Splits:
    """Keys of known and unseen names, and per vendor the keys whose drawing is held out."""

    known: list[str]
    unseen: list[str]
    held_out: dict[str, list[str]]


def split(
    group: dict[str, int],
    vendors: Sequence[str],
    seed: int,
    always_known: Set[str] = frozenset(),
    unseen_names: float = 0.15,
    unseen_pictures: float = 0.15,
) -> Splits:
    """Split keys by group, each group whole.

    Args:
        group: Group number by key; the emoji of a group have nearly the same drawing.
        vendors: Colour styles; each has equally many of the held-out drawings.
        seed: Of the choice.
        always_known: Keys whose whole group is known.
        unseen_names: Share of the keys that are in no training image or caption.
        unseen_pictures: Share of the known keys with one vendor's drawing held out.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in sorted(group):
        members[f"{group[key]}"].append(key)
    # Named by the first member, so that a group keeps its side when other groups change.
    groups = {keys[0]: keys for keys in members.values()}

    unseen: list[str] = []
    known_groups = []
    for name in order(groups, f"{seed}/names"):
        fits = len(unseen) + len(groups[name]) <= round(unseen_names * len(group))
        if fits and always_known.isdisjoint(groups[name]):
            unseen += groups[name]
        else:
            known_groups.append(name)
    known = sorted(key for name in known_groups for key in groups[name])

    quota = round(unseen_pictures * len(known) / len(vendors))
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
    """`count` of the emoji, taken from the categories in turn."""
    rank = {key: i for i, key in enumerate(order([e.key for e in emoji], f"{seed}/spread"))}
    by_category: dict[str, list[Emoji]] = defaultdict(list)
    for one in sorted(emoji, key=lambda e: rank[e.key]):
        by_category[one.category].append(one)
    queues = [by_category[category] for category in sorted(by_category)]
    chosen: list[Emoji] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return sorted(chosen, key=lambda e: e.name)
