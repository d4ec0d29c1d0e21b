"""Who is trained on: groups of nearly equal drawings go to one side of every split together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from cyclip_pl.data.prepare.emoji_names import Emoji
from cyclip_pl.data.prepare.shards import order


@dataclass(frozen=True)
class Splits:
    """Keys of the emoji: `unseen` names, and by vendor those whose drawing is held out."""

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
        group: group number by key; the emoji of a group are nearly the same drawing.
        vendors: colour styles; a held-out drawing is of one vendor, of each equally often.
        seed: of the choice.
        always_known: keys that are never unseen, nor is their group.
        unseen_names: share of the keys in no training picture or caption.
        unseen_pictures: share of the known keys with one vendor's drawing held out.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in sorted(group):
        members[f"{group[key]}"].append(key)
    # Named by the first member, so that a group keeps its side when others come or go.
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
    """Keys whose name is a phrase of another's, as `tiger` is of `tiger face`.

    Unseen, they would be in training captions all the same.
    """
    words = re.compile(r"[^\W_]+")
    phrase = {key: f" {' '.join(words.findall(name.lower()))} " for key, name in names.items()}
    return {
        key
        for key, part in phrase.items()
        if any(part in whole for other, whole in phrase.items() if other != key)
    }


def spread(emoji: Sequence[Emoji], count: int, seed: int) -> list[Emoji]:
    """`count` of the emoji, the categories in turn, so that each is there."""
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
