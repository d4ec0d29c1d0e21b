from __future__ import annotations

import pytest

from cyclip_pl.data.prepare.emoji_names import base_emoji, concept, grouped, tidy_name, to_key


@pytest.mark.parametrize(
    ("code_points", "key"),
    [
        ("0023-FE0F-20E3", "23-20e3"),
        ("1F600", "1f600"),
        ("2764-fe0f-200d-1f525", "2764-200d-1f525"),
    ],
)
def test_key(code_points, key) -> None:
    assert to_key(code_points) == key


def test_base_emoji_are_single_code_points_without_flags_components_and_tones() -> None:
    table = base_emoji()
    assert len(table) == 1372
    assert not {e.category for e in table} & {"Flags", "Component"}
    points = {int(e.key, 16) for e in table}
    assert len(points) == len(table) == len({e.name.lower() for e in table})
    assert points.isdisjoint(range(0x1F3FB, 0x1F400))
    assert points.isdisjoint(range(0x1F1E6, 0x1F200))  # the letters that flags are made of
    by_key = {e.key: e for e in table}
    assert by_key["1f45e"].name == "man's shoe"
    assert (by_key["1f355"].category, by_key["1f355"].subcategory) == (
        "Food & Drink",
        "food-prepared",
    )


def test_names_are_tidy() -> None:
    assert tidy_name(":man’s_shoe:") == "man's shoe"
    for emoji in base_emoji():
        assert emoji.name == emoji.name.strip()
        assert not set(emoji.name) & set(":_’{}\n")


@pytest.mark.parametrize(
    "kin",
    [
        ("man dancing", "woman dancing"),
        ("men holding hands", "women holding hands", "woman and man holding hands"),
        ("old man", "old woman", "older person"),
        ("man", "woman", "person"),
        ("boy", "girl", "child"),
        ("Santa Claus", "Mrs. Claus"),
        ("prince", "princess"),
        ("pregnant man", "pregnant woman", "pregnant person"),
        ("police officer", "man police officer", "woman police officer"),
        ("person walking", "man walking facing right"),
        ("merman", "mermaid", "merperson"),
    ],
)
def test_concepts_leave_gender_out(kin) -> None:
    assert len({concept(name) for name in kin}) == 1


def test_different_things_are_different_concepts() -> None:
    names = ["man dancing", "person walking", "old man", "baby", "child", "person", "princess"]
    assert len({concept(name) for name in names}) == len(names)
    # Were the rule too wide, far fewer would be left.
    assert len({concept(e.name) for e in base_emoji()}) > 1350


def test_groups_join_over_every_link() -> None:
    group = grouped("abcdef", {"a": 1, "b": 1, "c": 2}, {"b": "x", "d": "x", "e": "y"})
    assert group["a"] == group["b"] == group["d"]
    assert len({group[item] for item in "acef"}) == 4
