"""EDA: small random edits of a caption."""

from __future__ import annotations

import string

import numpy as np

from cyclip_pl import checks
from cyclip_pl.data.views.synonyms import lexicon_file, synonyms

# Never edited: WordNet knows some of these as chemical elements and units.
_FUNCTION_WORDS = """
a about above after again against all am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has have
having he her here hers herself him himself his how i if in into is it its itself just me more most
must my myself no nor not now of off on once only or other our ours ourselves out over own same
shall she should so some such than that the their theirs them themselves then there these they this
those through to too under until up very was we were what when where which while who whom why will
with would you your yours yourself yourselves
"""
_KEPT = frozenset(_FUNCTION_WORDS.split())


class EDA:
    """One of four equally likely edits: replace, insert, swap or drop words.

    Wei & Zou 2019 ("EDA: Easy data augmentation techniques for boosting performance on text
    classification tasks", arXiv 1901.11196), one edit per caption as in CyCLIP's code. Words are
    separated by white space; words that are not edited keep their case and punctuation.

    Args:
        alpha: Share of the words to edit, at least one; for dropping, the probability of each word.

    Raises:
        ValueError: The package with the synonyms is not installed.
    """

    def __init__(self, alpha: float) -> None:
        checks.probability("views.alpha", alpha)
        lexicon_file()
        self.alpha = alpha

    def __call__(self, caption: str, rng: np.random.Generator) -> str:
        """The edited caption; empty only if `caption` is."""
        words = caption.split()
        if not words:
            return caption
        edit = rng.integers(4)
        if edit == 3:
            return " ".join(drop(words, self.alpha, rng))
        edits = (replace, insert, swap)
        return " ".join(edits[edit](words, max(1, int(self.alpha * len(words))), rng))


def replace(words: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """A synonym for each of n words, or for as many as have one."""
    edited = list(words)
    for place in rng.permutation([i for i, word in enumerate(words) if _alternatives(word)])[:n]:
        edited[int(place)] = _draw(_alternatives(words[int(place)]), rng)
    return edited


def insert(words: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """n synonyms of random words, at random places."""
    edited = list(words)
    if sources := [word for word in words if _alternatives(word)]:
        for _ in range(n):
            synonym = _draw(_alternatives(_draw(sources, rng)), rng)
            edited.insert(int(rng.integers(len(edited) + 1)), synonym)
    return edited


def swap(words: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """n swaps of two words."""
    edited = list(words)
    if len(words) > 1:
        for _ in range(n):
            i, j = rng.choice(len(words), 2, replace=False).tolist()
            edited[i], edited[j] = edited[j], edited[i]
    return edited


def drop(words: list[str], p: float, rng: np.random.Generator) -> list[str]:
    """Each word is dropped with probability p; at least one stays."""
    stays = rng.random(len(words)) >= p
    return [word for word, kept in zip(words, stays, strict=True) if kept] or [_draw(words, rng)]


def _alternatives(word: str) -> tuple[str, ...]:
    key = word.lower().strip(string.punctuation)
    return () if key in _KEPT else synonyms(key)


def _draw(choices: list[str] | tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
