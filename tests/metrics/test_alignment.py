from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from cyclip_pl.metrics import alignment as module
from cyclip_pl.metrics.alignment import (
    caption_alignment,
    caption_uniformity,
    label_alignment,
    label_uniformity,
)
from tests.helpers.formulas import unit_rows
from tests.helpers.loops import dot, square

Rows = list[list[float]]


def naive_labelled(image: Rows, classes: Rows, label: list[int]) -> tuple[float, float]:
    n = len(image)
    alignment = sum(dot(image[i], classes[label[i]]) for i in range(n)) / n
    total = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += math.exp(-dot(image[i], classes[label[j]]))
    return alignment, math.log(total / (n * (n - 1)))


def naive_captioned(image: Rows, text: Rows) -> tuple[float, float]:
    n = len(image)
    alignment = sum(square(image[i], text[i]) for i in range(n)) / n
    pairs = [math.exp(-2 * square(image[i], text[j])) for i in range(n) for j in range(i)]
    return alignment, math.log(sum(pairs) / len(pairs))


@pytest.mark.parametrize("rows", [1, 4, 1024])
def test_equal_loops_whatever_the_chunks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    image, text = unit_rows(23, 6, seed=0)
    text[7] = text[3]  # duplicate captions
    label = torch.arange(23) % 4  # class 4 of 5 is empty
    classes = text[:5]
    alignment, uniformity = naive_labelled(image.tolist(), classes.tolist(), label.tolist())
    assert label_alignment(image, classes, label) == pytest.approx(alignment, rel=1e-12)
    assert label_uniformity(image, classes, label) == pytest.approx(uniformity, rel=1e-12)
    alignment, uniformity = naive_captioned(image.tolist(), text.tolist())
    assert caption_alignment(image, text) == pytest.approx(alignment, rel=1e-12)
    assert caption_uniformity(image, text) == pytest.approx(uniformity, rel=1e-12)


def test_one_class_and_perfect_and_opposed_pairs() -> None:
    image = torch.eye(3)[[0, 0, 0]]
    label = torch.zeros(3, dtype=torch.int64)
    assert label_alignment(image, torch.eye(3), label) == 1
    assert label_uniformity(image, torch.eye(3), label) == pytest.approx(-1)
    assert caption_alignment(image, image) == 0 and caption_uniformity(image, image) == 0
    assert caption_alignment(image, -image) == 4
    assert caption_uniformity(image, -image) == pytest.approx(-8)


@pytest.mark.parametrize("one", [lambda x: label_uniformity(x, x, torch.tensor([0])),
                                 lambda x: caption_uniformity(x, x)])  # fmt: skip
def test_one_image_has_no_uniformity(one: Any) -> None:
    with pytest.raises(ValueError, match="^uniformity is over pairs .*: 1 given$"):
        one(torch.ones(1, 2))
