"""What details keep of single examples: which of them were right, and a few to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.sets.interface import ImageSet

QUERIES = 8  # in a gallery
FOUND = 5  # images per query
_LETTERS = 300  # of a text


def spread(total: int, most: int) -> list[int]:
    """At most `most` of the numbers below `total`, evenly spread: those of every run on a set."""
    count = min(total, most)
    return [n * total // count for n in range(count)]


def cut(text: str) -> str:
    """A caption or class name to look at, of bounded length."""
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def hits(dataset: ImageSet, images: EncodedImages, right: Mapping[str, Tensor]) -> dict[str, Any]:
    """Who was right on what, small enough for details: runs are then compared image by image.

    Args:
        right: By metric, whether it counts each of this rank's images as a hit, bool, (n,).

    Returns:
        `set`, which is equal where two runs looked at the same images; `count`, their number; and
        `images`, the `bits` by metric.
    """
    index = ",".join(map(str, images.whole(images.rows.index_n).tolist()))
    return {
        "set": hashlib.sha256(f"{dataset.fingerprint} {index}".encode()).hexdigest(),
        "count": images.total,
        "images": {metric: bits(images.whole(right_n.cpu())) for metric, right_n in right.items()},
    }


def bits(right_N: Tensor) -> str:
    """Booleans in hexadecimal, eight per byte, the first in its highest bit."""
    return np.packbits(right_N.numpy()).tobytes().hex()
