"""Two runs on the same images: the difference of a metric, with a paired bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclip_pl.metrics.bootstrap import interval
from cyclip_pl.reports.run_files import number
from cyclip_pl.reports.runs import Run

_MOST = 4_000_000  # images, or texts


@dataclass(frozen=True)
class Paired:
    """A metric of one run minus that of another, and the bounds of its interval.

    `images` is how many both have looked at. Images are resampled, and each stays with what both
    runs made of it: what is hard for both does not widen the interval.
    """

    value: float
    low: float
    high: float
    images: int

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired(run: Run, reference: Run, title: str, metric: str) -> Paired | None:
    """`run` minus `reference`, if both kept their hits of the same images.

    Raises:
        ValueError: Malformed details; one line that names the file.
    """
    found = [_hits(one, title, metric) for one in (run, reference)]
    if found[0] is None or found[1] is None or found[0][0] != found[1][0]:
        return None
    (_, value_N, weight_N), (_, other_N, _) = found[0], found[1]
    if len(value_N) != len(other_N) or not len(value_N):
        return None
    difference_N = value_N - other_N
    low, high = interval(difference_N, weight_N)
    value = float((difference_N * weight_N).sum() / weight_N.sum())
    return Paired(value, low, high, len(difference_N))


def _hits(run: Run, title: str, metric: str) -> tuple[str, np.ndarray, np.ndarray] | None:
    """(the set, the share of hits per image, the number of queries per image)."""
    if (found := run.detail(title, "hits")) is None:
        return None
    where, hits = found
    if not isinstance(hits, dict) or not isinstance(hits.get("set"), str):
        raise ValueError(f"{where} must have set, count and images")
    count = _count(hits.get("count"), f"{where}.count")
    images, texts = (_by_metric(hits, key, where) for key in ("images", "texts"))
    if metric in images:
        right_N = _bits(images[metric], count, f"{where}.images.{metric}")
        return hits["set"], right_N, np.ones(count)
    if metric not in texts:
        return None
    of_image = hits.get("texts_of_image")
    if not isinstance(of_image, list) or len(of_image) != count:
        raise ValueError(f"{where}.texts_of_image must be a list of {count:,} counts")
    weight_N = np.array([_count(n, f"{where}.texts_of_image") for n in of_image], dtype=np.int64)
    if not (weight_N > 0).all() or weight_N.sum() > _MOST:
        raise ValueError(f"{where}.texts_of_image must have counts of 1 or more")
    right_M = _bits(texts[metric], int(weight_N.sum()), f"{where}.texts.{metric}")
    image_M = np.repeat(np.arange(count), weight_N)
    return hits["set"], np.bincount(image_M, right_M, count) / weight_N, weight_N.astype(float)


def _by_metric(hits: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    found = hits.get(key, {})
    if not isinstance(found, dict):
        raise ValueError(f"{where}.{key} must have bits by metric")
    return found


def _count(value: Any, where: str) -> int:
    count = number(value, where)
    if not (count.is_integer() and 0 <= count <= _MOST):
        raise ValueError(f"{where} must be a count of at most {_MOST:,}")
    return int(count)


def _bits(text: Any, count: int, where: str) -> np.ndarray:
    """float64, (count,)."""
    try:
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} must be bits in hexadecimal") from error
    if len(packed) != -(-count // 8):
        raise ValueError(f"{where} must have {count:,} bits")
    return np.unpackbits(packed, count=count).astype(np.float64)
