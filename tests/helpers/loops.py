"""What evaluations compute, in plain loops over lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def square(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def cosine(a: list[float], b: list[float]) -> float:
    """In double precision, rounded once to single."""
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return float(
        np.float32(sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0)
    )


def naive_nearest(
    query: Tensor, train: Tensor, k: int
) -> tuple[list[list[float]], list[list[int]]]:
    cosines, rows = [], []
    for q in query.tolist():
        all_of_them = [cosine(q, t) for t in train.tolist()]
        order = sorted(range(len(train)), key=lambda m: (-all_of_them[m], m))[:k]
        cosines.append([all_of_them[m] for m in order])
        rows.append(order)
    return cosines, rows


def naive_majority(labels: list[int]) -> int:
    """Drop the farthest until one label is the most frequent."""
    while True:
        counts = {label: labels.count(label) for label in labels}
        modes = [label for label, count in counts.items() if count == max(counts.values())]
        if len(modes) == 1:
            return modes[0]
        labels = labels[:-1]


def naive_weighted(cosines: list[float], labels: list[int], temperature: float) -> int:
    votes: dict[int, float] = {}
    for cosine, label in zip(cosines, labels, strict=True):
        votes[label] = votes.get(label, 0.0) + math.exp(cosine / temperature)
    return max(votes, key=lambda label: votes[label])  # of equal ones the first met


def naive_ranks(
    query: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    group_of_query: Sequence[int],
    group_of_candidate: Sequence[int],
) -> list[int]:
    """Sort the candidates, of equal scores the false ones first; where the first true one is."""
    ranks = []
    for vector, group in zip(query, group_of_query, strict=True):
        scored = [
            (-sum(a * b for a, b in zip(vector, other, strict=True)), other_group == group)
            for other, other_group in zip(candidate, group_of_candidate, strict=True)
        ]
        ranks.append(1 + [true for _, true in sorted(scored)].index(True))
    return ranks
