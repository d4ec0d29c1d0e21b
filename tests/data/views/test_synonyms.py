from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from cyclip_pl.data.views import synonyms as module
from cyclip_pl.data.views.synonyms import lexicon_file, synonyms


def test_words_that_share_a_sense() -> None:
    assert {"auto", "automobile", "motorcar"} <= set(synonyms("car"))
    assert "car" not in synonyms("car")
    # And the other way.
    assert all("car" in synonyms(word) for word in synonyms("car"))
    assert list(synonyms("car")) == sorted(set(synonyms("car")))


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("cars", "car"),
        ("buses", "bus"),
        ("foxes", "fox"),
        ("churches", "church"),
        ("wolves", "wolf"),
        ("ladies", "lady"),
        ("firemen", "fireman"),
        ("jumped", "jump"),
        ("escaping", "escape"),
        ("finest", "fine"),
    ],
)
def test_inflected_words_are_looked_up_by_their_base(word: str, base: str) -> None:
    assert synonyms(base) and set(synonyms(base)) <= {*synonyms(word), word}


@pytest.mark.parametrize("word", ["", "qwxyz", "Straße", "狗", "ing", "'; DROP TABLE lexicon"])
def test_others_have_none(word: str) -> None:
    assert synonyms(word) == ()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "distribution", missing)
    with pytest.raises(ValueError, match=r"pip install 'cyclip-pl\[eda\]'"):
        lexicon_file()
