"""Random numbers that depend on names, never on earlier draws."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class _Key(ISeedSequence):
    """Hands Philox its key. `Philox(key=...)` would first ask the system for entropy."""

    def __init__(self, key: np.ndarray) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        assert n_words == 2 and dtype is np.uint64
        return self._key


def generator(*parts: str | int) -> np.random.Generator:
    """The generator of these parts, such as ("sample", seed, epoch, key).

    It is counter-based (Philox) and keyed by a hash of the parts: cheap to make for each sample,
    and the same in every process.
    """
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    key = hashlib.blake2b(text, digest_size=16).digest()
    seed: Any = _Key(np.frombuffer(key, dtype="<u8"))  # numpy's types know its own class alone
    return np.random.Generator(np.random.Philox(seed))
