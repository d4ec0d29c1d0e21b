"""Where a sample's captions are, and which of them is drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclip_pl import checks
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.files import reason

TXT = "txt"
# Longer than any context; a tokenizer would take minutes for a member of many megabytes.
_MAX_CHARACTERS = 10_000


@dataclass(frozen=True)
class Captions:
    """Reads captions by key; draws one.

    Attributes:
        weights: Of each key, how often it is drawn. A key is `txt`, the member, or a key of the
            `json` member, see `in_json`.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError("data.caption_keys={}: names no key; name one, {txt: 1}")
        for key, weight in self.weights.items():
            checks.number(f"data.caption_keys: {key}", weight, above=0, most=1e9)

    @property
    def members(self) -> tuple[str, ...]:
        """The extensions of the members that hold captions."""
        found = ("txt" if key == TXT else "json" for key in self.weights)
        return tuple(dict.fromkeys(found))

    def __call__(self, texts: Mapping[str, bytes]) -> dict[str, list[str]]:
        """Members by extension → captions by key, of the keys that the sample has.

        Raises:
            SkippedSample: It has none of them; the cause is that of the first key.
        """
        found: dict[str, list[str]] = {}
        missing: list[SkippedSample] = []
        table: Any = None
        for key in self.weights:
            try:
                if key != TXT and table is None:
                    table = read_json(_member(texts, "json"))
                found[key] = in_text(_member(texts, "txt")) if key == TXT else in_json(table, key)
            except SkippedSample as error:
                missing.append(error)
        if not found:
            raise missing[0]
        return found

    def draw(self, captions: Mapping[str, list[str]], rng: np.random.Generator) -> str:
        """One caption: a key by its weight among those that the sample has, then one of its."""
        keys = list(captions)
        bounds = np.cumsum([self.weights[key] for key in keys])
        drawn = np.searchsorted(bounds, rng.random() * bounds[-1], side="right")
        of_key = captions[keys[min(int(drawn), len(keys) - 1)]]
        return of_key[int(rng.random() * len(of_key))]


def caption_id(captions: Mapping[str, list[str]]) -> int:
    """Captions by key → a number of 63 bits, the same in every process for the same captions."""
    text = json.dumps(captions, sort_keys=True).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def _member(texts: Mapping[str, bytes], extension: str) -> bytes:
    if extension not in texts:
        raise SkippedSample("missing caption")
    return texts[extension]


def in_text(data: bytes) -> list[str]:
    """The caption in a `txt` member, which is one.

    Raises:
        SkippedSample: It is empty or not UTF-8.
    """
    try:
        return _cleaned([data.decode("utf-8")])
    except UnicodeDecodeError as error:
        raise SkippedSample("unreadable caption", "not UTF-8") from error


def read_json(data: bytes) -> Any:
    """What a `json` member holds.

    Raises:
        SkippedSample: It is not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SkippedSample("unreadable json", reason(error)) from error


def in_json(table: Any, key: str) -> list[str]:
    """The captions, one or more, of a key; `a.b` is the key `a.b`, or else `b` in the table `a`.

    Raises:
        SkippedSample: There is none, or it is neither a text nor a list of texts.
    """
    found = _find(table, key)
    if found is None:
        raise SkippedSample("missing caption", f"its json has no {key!r}")
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SkippedSample("missing caption", f"{key!r} is not text or a list of texts")
    return _cleaned(texts)


def _find(table: Any, key: str) -> Any:
    if not isinstance(table, dict):
        return None
    if table.get(key) is not None:
        return table[key]
    dots = [place for place, letter in enumerate(key) if letter == "."]
    nested = (_find(table.get(key[:dot]), key[dot + 1 :]) for dot in reversed(dots))
    return next((found for found in nested if found is not None), None)


def _cleaned(texts: list[str]) -> list[str]:
    captions = [text.strip()[:_MAX_CHARACTERS] for text in texts if text.strip()]
    if not captions:
        raise SkippedSample("empty caption")
    return captions
