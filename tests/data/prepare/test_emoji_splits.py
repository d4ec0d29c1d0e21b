from __future__ import annotations

from collections import Counter

from cyclip_pl.data.prepare.emoji_names import Emoji
from cyclip_pl.data.prepare.emoji_splits import parts_of_others, split, spread

GROUP = {f"{i:03x}": i // 3 if i < 150 else i for i in range(1000)}  # 50 groups of three
VENDORS = ("left", "right")


def test_shares_and_whole_groups() -> None:
    splits = split(GROUP, VENDORS, seed=0)
    assert sorted(splits.known + splits.unseen) == sorted(GROUP)
    assert len(splits.unseen) == 150
    held_out = splits.held_out
    assert len(held_out["left"]) == len(held_out["right"]) == round(0.15 * 850 / 2)
    assert set(held_out["left"] + held_out["right"]) <= set(splits.known)
    sides = {
        "unseen": splits.unseen,
        "left": held_out["left"],
        "right": held_out["right"],
        "trained": sorted(set(splits.known) - set(held_out["left"]) - set(held_out["right"])),
    }
    groups = [{GROUP[key] for key in keys} for keys in sides.values()]
    assert sum(map(len, groups)) == len(set(GROUP.values())), "a group is on two sides"


def test_the_seed_decides() -> None:
    assert split(GROUP, VENDORS, seed=0) == split(dict(reversed(GROUP.items())), VENDORS, seed=0)
    assert split(GROUP, VENDORS, seed=0) != split(GROUP, VENDORS, seed=1)


def test_group_numbers_do_not_matter() -> None:
    renumbered = {key: 5000 - number for key, number in GROUP.items()}
    assert split(renumbered, VENDORS, seed=0) == split(GROUP, VENDORS, seed=0)


def test_always_known_groups_are_known() -> None:
    unseen = split(GROUP, VENDORS, seed=0).unseen
    spared = set(unseen[:20])
    splits = split(GROUP, VENDORS, seed=0, always_known=spared)
    groups = {GROUP[key] for key in spared}
    assert not {GROUP[key] for key in splits.unseen} & groups
    assert len(splits.unseen) == 150


def test_parts_of_other_names() -> None:
    names = {"a": "tiger", "b": "tiger face", "c": "face", "d": "ear", "e": "bear", "f": "T-Rex"}
    names |= {"g": "man's shoe", "h": "Man"}
    assert parts_of_others(names) == {"a", "c", "h"}


def test_spread_takes_the_categories_in_turn() -> None:
    emoji = [Emoji(f"{i:x}", f"n{i}", "big" if i < 90 else f"small{i % 2}", "s") for i in range(94)]
    chosen = spread(emoji, 10, seed=0)
    assert Counter(e.category for e in chosen) == {"big": 6, "small0": 2, "small1": 2}
    assert chosen == sorted(chosen, key=lambda e: e.name)
    assert spread(emoji[::-1], 10, seed=0) == chosen != spread(emoji, 10, seed=1)
    assert len(spread(emoji, 1000, seed=0)) == 94
