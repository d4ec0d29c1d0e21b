"""How many values are there more than once, in bounded memory."""

from __future__ import annotations

import hashlib

import numpy as np

_CAPACITY = 1 << 24
_PENDING = 1 << 20


def digest(value: bytes) -> bytes:
    """A value's hash, 8 bytes; `np.frombuffer(…, np.uint64)` reads many."""
    return hashlib.blake2b(value, digest_size=8).digest()


class Repeats:
    """Counts values that were there before, by their hashes.

    Beyond `capacity` distinct values it keeps a part of all hashes, each with all its values, and
    the count becomes an estimate.

    Args:
        capacity: Distinct values that are kept, 16 bytes each.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._shift = 0  # hashes whose lowest `_shift` bits are zero are kept
        self._hashes = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._pending: list[np.ndarray] = []
        self._waiting = 0

    def add(self, hashes: np.ndarray) -> None:
        """Count values by their hashes: uint64, (N,)."""
        self._pending.append(hashes)
        self._waiting += len(hashes)
        # As many as are kept: sorting them again and again would cost more than reading them.
        if self._waiting >= max(_PENDING, len(self._hashes)):
            self._settle()

    @property
    def exact(self) -> bool:
        """Whether `count` is not an estimate."""
        self._settle()
        return self._shift == 0

    def count(self) -> int:
        """Values that were there before."""
        self._settle()
        return int((self._counts - 1).sum()) << self._shift

    def _settle(self) -> None:
        if not self._waiting:
            return
        new = np.concatenate(self._pending)
        self._pending, self._waiting = [], 0
        values, counts = np.unique(new, return_counts=True)
        self._keep(np.concatenate([self._hashes, values]), np.concatenate([self._counts, counts]))
        while len(self._hashes) > self._capacity:
            self._shift += 1
            self._keep(self._hashes, self._counts)

    def _keep(self, hashes: np.ndarray, counts: np.ndarray) -> None:
        kept = hashes & np.uint64((1 << self._shift) - 1) == 0
        self._hashes, place = np.unique(hashes[kept], return_inverse=True)
        self._counts = np.bincount(place, counts[kept], len(self._hashes)).astype(np.int64)
