from __future__ import annotations

import pickle
from collections import Counter

import pytest

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.eda import EDA, drop, insert, replace, swap
from cyclip_pl.data.views.synonyms import synonyms

WORDS = ["A", "small", "dog,", "and", "a", "red", "car", "near", "the", "house"]
CONTENT = ["small", "dog,", "red", "car", "near", "house"]
SEEDS = range(60)


def keys(word: str) -> str:
    return word.lower().strip(",")


@pytest.mark.parametrize("n", [1, 3, 50])
def test_replace(n: int) -> None:
    touched = set()
    for seed in SEEDS:
        edited = replace(WORDS, n, generator("t", seed))
        changed = [(a, b) for a, b in zip(WORDS, edited, strict=True) if a != b]
        assert len(changed) == min(n, len(CONTENT))
        assert all(b in synonyms(keys(a)) for a, b in changed)
        touched |= {a for a, _ in changed}
    # Function words stay; all others have their turn.
    assert touched == set(CONTENT)


@pytest.mark.parametrize("n", [1, 3])
def test_insert(n: int) -> None:
    known = {synonym for word in CONTENT for synonym in synonyms(keys(word))}
    places = set()
    for seed in SEEDS:
        edited = insert(WORDS, n, generator("t", seed))
        assert len(edited) == len(WORDS) + n
        rest = iter(edited)
        assert all(word in rest for word in WORDS), "the words keep their order"
        added = Counter(edited) - Counter(WORDS)
        assert added.total() == n and set(added) <= known
        places |= {edited.index(word) for word in added}
    assert places == set(range(len(WORDS) + n))


@pytest.mark.parametrize("n", [1, 2])
def test_swap(n: int) -> None:
    words = [str(i) for i in range(6)]
    moved = set()
    for seed in SEEDS:
        edited = swap(words, n, generator("t", seed))
        assert sorted(edited) == words
        different = [i for i in range(6) if edited[i] != words[i]]
        assert len(different) == 2 if n == 1 else len(different) in (0, 3, 4)
        moved |= set(different)
    assert moved == set(range(6))


def test_leave_out() -> None:
    words = [str(i) for i in range(100)]
    left = 0
    for seed in SEEDS:
        edited = drop(words, 0.1, generator("t", seed))
        assert edited == sorted(edited, key=int) and set(edited) <= set(words)
        left += len(edited)
    assert left / 6000 == pytest.approx(0.9, abs=0.02)
    assert {drop(["a", "b"], 1.0, generator("t", s))[0] for s in SEEDS} == {"a", "b"}


def test_each_edit_is_as_likely() -> None:
    eda, rng = EDA(0.1), generator("t")
    caption = "dog dog dog car car"  # no synonym of either is a dog or a car
    kinds: Counter[str] = Counter()
    for _ in range(2000):
        edited = eda(caption, rng).split(" ")
        known = sum(word in ("dog", "car") for word in edited)
        if len(edited) > known and known == 5:
            kinds["insert"] += 1
        elif len(edited) > known:
            kinds["replace"] += 1
        elif known == 5:
            kinds["swap or nothing left out"] += 1
        else:
            kinds["leave out"] += 1
    nothing_left_out = 0.9**5
    assert kinds["insert"] / 2000 == pytest.approx(0.25, abs=0.04)
    assert kinds["replace"] / 2000 == pytest.approx(0.25, abs=0.04)
    assert kinds["leave out"] / 2000 == pytest.approx(0.25 * (1 - nothing_left_out), abs=0.03)


def test_alpha_is_a_share_of_the_words() -> None:
    """At most n = max(1, α·words) words differ in count, one for short captions."""
    for alpha, words, n in ((0.1, 5, 1), (0.1, 40, 4), (0.5, 10, 5)):
        caption = " ".join(["dog"] * words)
        longest = max(
            sum(word != "dog" for word in EDA(alpha)(caption, generator("t", s)).split())
            for s in SEEDS
        )
        inserted = max(len(synonym.split()) for synonym in synonyms("dog"))
        assert n <= longest <= n * inserted


def test_it_is_a_function_of_the_generator() -> None:
    eda = EDA(0.1)
    sent = pickle.loads(pickle.dumps(eda))
    caption = " ".join(WORDS)
    drawn = [eda(caption, generator("t", seed)) for seed in SEEDS]
    assert drawn == [sent(caption, generator("t", seed)) for seed in SEEDS]
    assert len(set(drawn)) > 30


@pytest.mark.parametrize(
    "caption", ["dog", "a", "犬と赤い車", "Ünïcödé 狗 !!", "…", "¿?", "🦊", "42"]
)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
def test_a_caption_never_becomes_empty(caption: str, alpha: float) -> None:
    eda = EDA(alpha)
    for seed in SEEDS:
        assert eda(caption, generator("t", seed)).strip()


def test_alpha_is_checked() -> None:
    with pytest.raises(ValueError, match=r"views\.alpha=.* must be a number"):
        EDA(1.5)
