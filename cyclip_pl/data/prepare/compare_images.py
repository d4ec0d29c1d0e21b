"""Images compared by their pixels, not by their bytes."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping

from PIL import Image, ImageChops, ImageStat


def fingerprint(png: bytes) -> str:
    """A hash of the RGB pixels, which does not depend on the compression."""
    with Image.open(io.BytesIO(png)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def difference(a: bytes, b: bytes) -> float:
    """Mean absolute difference of two images of one size, in levels of 255."""
    with Image.open(io.BytesIO(a)) as first, Image.open(io.BytesIO(b)) as second:
        apart = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    means = ImageStat.Stat(apart).mean
    return sum(means) / len(means)


def unambiguous(images: Mapping[str, bytes]) -> set[str]:
    """Keys whose image is neither blank nor that of another key."""
    prints = {key: fingerprint(png) for key, png in images.items()}
    count = Counter(prints.values())
    clear = set()
    for key, png in images.items():
        with Image.open(io.BytesIO(png)) as image:
            low, high = image.convert("L").getextrema()
        if count[prints[key]] == 1 and low != high:
            clear.add(key)
    return clear
