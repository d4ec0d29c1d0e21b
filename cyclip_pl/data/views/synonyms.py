"""WordNet's synonyms, without a network."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# A package with WordNet in one SQLite file: one row per word and sense.
_PACKAGE, _FILE = "oyemi", "data/lexicon.db"
_CACHED = 32_768
# WordNet's own rules of inflection ("morphy"): an ending, and the ending of the base form.
_ENDINGS = (
    ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
    ("ves", "f"), ("ies", "y"), ("men", "man"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""),
    ("ing", "e"), ("ing", ""), ("er", ""), ("er", "e"), ("est", ""), ("est", "e"),
)  # fmt: skip


def lexicon_file() -> Path:
    """WordNet's file.

    Raises:
        ValueError: The package that holds it is not installed.
    """
    try:
        return Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE))).resolve()
    except metadata.PackageNotFoundError:
        raise ValueError(
            "views: the package with the synonyms is missing; pip install 'cyclip-pl[eda]'"
        ) from None


@lru_cache(_CACHED)
def synonyms(word: str) -> tuple[str, ...]:
    """The other words of all senses of a lower-case word, sorted; none for an unknown word.

    A word that WordNet does not list is looked up by its base forms.
    """
    if (found := _others(word)) is not None:
        return found
    stems = [(word.removesuffix(end), base) for end, base in _ENDINGS if word.endswith(end)]
    bases = [stem + base for stem, base in stems if stem]
    return tuple(sorted({other for base in bases for other in _others(base) or ()} - {word}))


def _others(word: str) -> tuple[str, ...] | None:
    """The other words of all senses; None for a word that is not listed."""
    rows = _lexicon().execute(
        "SELECT DISTINCT other.word FROM lexicon JOIN lexicon AS other USING (code)"
        " WHERE lexicon.word = ? ORDER BY other.word",
        (word,),
    )
    listed = tuple(other for (other,) in rows)
    return tuple(other for other in listed if other != word) if listed else None


@lru_cache(1)
def _lexicon() -> sqlite3.Connection:
    # A copy in memory: with an index, which the file lacks, a search takes microseconds; and forked
    # workers share no open file.
    lexicon = sqlite3.connect(":memory:", check_same_thread=False, uri=True)
    lexicon.execute("ATTACH ? AS file", (f"{lexicon_file().as_uri()}?immutable=1",))
    lexicon.execute("CREATE TABLE lexicon AS SELECT word, code FROM file.lexicon")
    lexicon.execute("CREATE INDEX of_word ON lexicon (word, code)")
    lexicon.execute("CREATE INDEX of_code ON lexicon (code, word)")
    lexicon.commit()
    lexicon.execute("DETACH file")
    return lexicon
