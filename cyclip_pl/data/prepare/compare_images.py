"""Images compared by their pixels, not by their bytes."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping

from PIL import Image, ImageChops, ImageStat


def _rgb(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def fingerprint(png: bytes) -> str:
    """A hash of the RGB pixels, which does not depend on the compression."""
    return hashlib.sha256(_rgb(png).tobytes()).hexdigest()


def difference(a: bytes, b: bytes) -> float:
    """Mean absolute difference of two images of one size, in levels of 255."""
    means = ImageStat.Stat(ImageChops.difference(_rgb(a), _rgb(b))).mean
    return sum(means) / len(means)


def unambiguous(images: Mapping[str, bytes]) -> set[str]:
    """Keys whose image is neither blank nor that of another key."""
    prints = {key: fingerprint(png) for key, png in images.items()}
    count = Counter(prints.values())
    return {key for key, png in images.items() if count[prints[key]] == 1 and not _blank(png)}


def _blank(png: bytes) -> bool:
    low, high = _rgb(png).convert("L").getextrema()
    return low == high
