"""Random numbers that depend on names, never on earlier draws."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*parts: str | int) -> np.random.Generator:
    """The generator of these parts, such as ("sample", seed, epoch, key).

    It is counter-based (Philox) and keyed by a hash of the parts: cheap to make for each sample,
    and the same in every process.
    """
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    key = hashlib.blake2b(text, digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))
