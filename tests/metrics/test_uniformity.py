from __future__ import annotations

import math

import pytest
import torch

from cyclip_pl.metrics import uniformity
from cyclip_pl.metrics.uniformity import CaptionUniformity, LabelUniformity
from tests.helpers.formulas import unit_rows
from tests.helpers.loops import dot, square

Rows = list[list[float]]


def naive_labelled(image: Rows, classes: Rows, label: list[int]) -> float:
    n = len(image)
    pairs = [
        math.exp(-dot(image[i], classes[label[j]])) for i in range(n) for j in range(n) if i != j
    ]
    return math.log(sum(pairs) / len(pairs))


def naive_captioned(image: Rows, text: Rows) -> float:
    pairs = [math.exp(-2 * square(image[i], text[j])) for i in range(len(image)) for j in range(i)]
    return math.log(sum(pairs) / len(pairs))


@pytest.mark.parametrize("held", [1, 40, 1 << 22])
@pytest.mark.parametrize("size", [1, 4, 23])
def test_equal_loops_whatever_the_blocks(
    size: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uniformity, "_HELD", held)
    image, text = unit_rows(23, 6, seed=0)
    text[7] = text[3]  # equal captions
    label = torch.arange(23) % 4  # class 4 of 5 is empty
    labelled, captioned = LabelUniformity(5), CaptionUniformity()
    for rows in torch.arange(23).split(size):
        labelled.update(image[rows], text[:5], label[rows])
        captioned.update(image[rows], text, rows)
    expected = naive_labelled(image.tolist(), text[:5].tolist(), label.tolist())
    assert labelled.compute().item() == pytest.approx(expected, rel=1e-12)
    expected = naive_captioned(image.tolist(), text.tolist())
    assert captioned.compute().item() == pytest.approx(expected, rel=1e-12)
    whole = CaptionUniformity()
    whole.update(image, text)
    assert whole.compute().item() == pytest.approx(expected, rel=1e-12)


def test_one_class_and_perfect_and_opposed_pairs() -> None:
    image = torch.eye(3)[[0, 0, 0]]
    labelled = LabelUniformity(3)
    labelled.update(image, torch.eye(3), torch.zeros(3, dtype=torch.int64))
    assert labelled.compute().item() == pytest.approx(-1)
    for text, expected in ((image, 0), (-image, -8)):
        captioned = CaptionUniformity()
        captioned.update(image, text)
        assert captioned.compute().item() == pytest.approx(expected, abs=1e-12)


def test_one_image_has_no_uniformity() -> None:
    one, label = torch.ones(1, 2), torch.zeros(1, dtype=torch.int64)
    labelled, captioned = LabelUniformity(1), CaptionUniformity()
    labelled.update(one, one, label)
    captioned.update(one, one)
    assert labelled.compute().isnan() and captioned.compute().isnan()


def test_random_embeddings_are_near_uniform() -> None:
    image, text = (unit_rows(1000, 64, seed=seed)[0] for seed in (7, 8))
    captioned = CaptionUniformity()
    captioned.update(image, text)
    # log E exp(-4 + 4 <I, T>), whose cosine has variance 1/64.
    assert captioned.compute().item() == pytest.approx(-4 + 16 / 64 / 2, abs=0.02)
