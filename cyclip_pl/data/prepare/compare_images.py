"""Pictures compared by what is seen, not by their bytes."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping


def fingerprint(png: bytes) -> str:
    """A hash of the decoded RGB picture, whatever its compression."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def difference(a: bytes, b: bytes) -> float:
    """Mean absolute difference of two pictures of one size, in levels of 255."""
    from PIL import Image, ImageChops, ImageStat

    with Image.open(io.BytesIO(a)) as first, Image.open(io.BytesIO(b)) as second:
        apart = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    means = ImageStat.Stat(apart).mean
    return sum(means) / len(means)


def unambiguous(pictures: Mapping[str, bytes]) -> set[str]:
    """Keys whose picture is not blank and not that of another key as well."""
    from PIL import Image

    prints = {key: fingerprint(png) for key, png in pictures.items()}
    count = Counter(prints.values())
    clear = set()
    for key, png in pictures.items():
        with Image.open(io.BytesIO(png)) as image:
            low, high = image.convert("L").getextrema()
        if count[prints[key]] == 1 and low != high:
            clear.add(key)
    return clear
