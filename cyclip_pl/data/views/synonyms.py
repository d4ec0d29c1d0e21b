"""WordNet's synonyms, offline."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# A package that is WordNet in one SQLite file: a row for each word of each of its senses.
_PACKAGE, _FILE = "oyemi", "data/lexicon.db"
_REMEMBERED = 32_768
# WordNet's own rules of inflection ("morphy"): an ending and what the base form has for it.
_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ves", "f"),
    ("ies", "y"),
    ("men", "man"),
    ("es", "e"),
    ("es", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ing", "e"),
    ("ing", ""),
    ("er", ""),
    ("er", "e"),
    ("est", ""),
    ("est", "e"),
)


def lexicon_file() -> Path:
    """
    Raises:
        ValueError: the package that holds it is not installed.
    """
    try:
        return Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE))).resolve()
    except metadata.PackageNotFoundError:
        raise ValueError(
            "views: synonyms come from a package: pip install 'cyclip-pl[eda]'"
        ) from None


@lru_cache(_REMEMBERED)
def synonyms(word: str) -> tuple[str, ...]:
    """The other words of all senses of a word in lower case, sorted; none for an unknown word.

    A word that WordNet does not list is looked up by its base forms.
    """
    found = _others(word)
    if found is not None:
        return found
    stems = [(word.removesuffix(end), base) for end, base in _ENDINGS if word.endswith(end)]
    bases = [stem + base for stem, base in stems if stem]
    return tuple(sorted({other for base in bases for other in _others(base) or ()} - {word}))


def _others(word: str) -> tuple[str, ...] | None:
    """None for a word that is not listed."""
    rows = _lexicon().execute(
        "SELECT DISTINCT other.word FROM lexicon JOIN lexicon AS other USING (code)"
        " WHERE lexicon.word = ? ORDER BY other.word",
        (word,),
    )
    listed = tuple(other for (other,) in rows)
    return tuple(other for other in listed if other != word) if listed else None


@lru_cache(1)
def _lexicon() -> sqlite3.Connection:
    # Copied to memory with the index that the file lacks (a search takes microseconds, not a scan),
    # and so that a forked worker shares no open file.
    lexicon = sqlite3.connect(":memory:", check_same_thread=False, uri=True)
    lexicon.execute("ATTACH ? AS file", (f"{lexicon_file().as_uri()}?immutable=1",))
    lexicon.execute("CREATE TABLE lexicon AS SELECT word, code FROM file.lexicon")
    lexicon.execute("CREATE INDEX of_word ON lexicon (word, code)")
    lexicon.execute("CREATE INDEX of_code ON lexicon (code, word)")
    lexicon.commit()
    lexicon.execute("DETACH file")
    return lexicon
