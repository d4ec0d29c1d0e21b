from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.distributed import alone, world_size
from cyclip_pl.evaluation import geometry
from cyclip_pl.evaluation.geometry import (
    caption_alignment,
    caption_uniformity,
    captioned_geometry,
    effective_rank,
    inconsistency,
    label_alignment,
    label_uniformity,
    labelled_geometry,
    modality_gap,
)
from tests.helpers.distributed import run_distributed
from tests.losses.formulas import cross_modal, in_modal, unit_rows

Rows = list[list[float]]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def square(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


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
    monkeypatch.setattr(geometry, "_ROWS", rows)
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


def test_float32_rows_lose_no_more_than_their_own_digits() -> None:
    image, text = unit_rows(64, 8, seed=1)
    exact = captioned_geometry(image, text)
    assert captioned_geometry(image.float(), text.float()) == pytest.approx(exact, rel=1e-5)


def test_one_class_and_perfect_and_opposed_pairs() -> None:
    image = torch.eye(3)[[0, 0, 0]]
    label = torch.zeros(3, dtype=torch.int64)
    assert label_alignment(image, torch.eye(3), label) == 1
    assert label_uniformity(image, torch.eye(3), label) == pytest.approx(-1)
    assert caption_alignment(image, image) == 0 and caption_uniformity(image, image) == 0
    assert caption_alignment(image, -image) == 4
    assert caption_uniformity(image, -image) == pytest.approx(-8)
    assert modality_gap(image, -image) == 2


@pytest.mark.parametrize("one", [lambda x: label_uniformity(x, x, torch.tensor([0])),
                                 lambda x: caption_uniformity(x, x)])  # fmt: skip
def test_one_image_has_no_uniformity(one: Any) -> None:
    with pytest.raises(ValueError, match="^uniformity is over pairs .*: 1 given$"):
        one(torch.ones(1, 2))


def test_modality_gap_equals_loops_of_unequal_numbers() -> None:
    image, text = unit_rows(9, 4, seed=2)[0], unit_rows(5, 4, seed=3)[1]
    means = [[sum(c) / len(x) for c in zip(*x.tolist(), strict=True)] for x in (image, text)]
    assert modality_gap(image, text) == pytest.approx(math.sqrt(square(*means)), rel=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (40, 5)])  # both forms of the loss
def test_inconsistency_is_the_formula_of_the_losses(shape: tuple[int, int]) -> None:
    image, text = unit_rows(*shape, seed=4)
    expected = in_modal(image, text).item(), cross_modal(image, text).item()
    assert inconsistency(image, text) == pytest.approx(expected, rel=1e-10)
    assert inconsistency(image, image) == (0, 0)


def naive_effective_rank(x: Tensor) -> float:
    values = torch.linalg.svd(x)[1].tolist()
    shares = [v / sum(values) for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


@pytest.mark.parametrize("rows", [2, 7, 1024])
@pytest.mark.parametrize("shape", [(3, 8), (8, 8), (50, 4)])
def test_effective_rank(shape: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_ROWS", rows)
    x = unit_rows(*shape, seed=5)[0]
    assert effective_rank(x) == pytest.approx(naive_effective_rank(x), rel=1e-10)
    orthonormal = torch.linalg.qr(torch.randn(max(shape), min(shape)).double())[0]
    assert effective_rank(orthonormal) == pytest.approx(min(shape), rel=1e-10)
    assert effective_rank(x[:1].repeat(20, 1)) == pytest.approx(1, rel=1e-10)


def test_a_diverged_model_has_figures_that_say_so() -> None:
    nan = torch.full((4, 3), torch.nan)
    assert all(math.isnan(value) for value in captioned_geometry(nan, nan).values())
    label = torch.arange(4)
    assert all(math.isnan(value) for value in labelled_geometry(nan, nan, label).values())


def _on_a_rank(image: Tensor, text: Tensor, label: Tensor) -> tuple[dict[str, float], int, int]:
    with alone():
        inside = world_size()
    figures = captioned_geometry(image, text) | {
        f"label_{name}": value for name, value in labelled_geometry(image, text, label).items()
    }
    return figures, inside, world_size()


def test_ranks_that_hold_the_same_rows_give_the_figures_of_one_process() -> None:
    image, text = (x.float() for x in unit_rows(33, 6, seed=6))
    label = torch.arange(33) % 7
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures, _, _ = _on_a_rank(image, text, label)
    finally:
        torch.set_num_threads(threads)
    for of_rank in run_distributed(_on_a_rank, 3, image, text, label):
        assert of_rank == (figures, 1, 3)


def test_random_embeddings_are_near_uniform() -> None:
    generator = torch.Generator().manual_seed(7)
    image, text = (normalize(torch.randn(1000, 64, generator=generator), dim=1) for _ in range(2))
    figures = captioned_geometry(image, text)
    assert figures["alignment"] == pytest.approx(2, abs=0.05)
    # log E exp(-4 + 4 <I, T>), whose cosine has variance 1/64.
    assert figures["uniformity"] == pytest.approx(-4 + 16 / 64 / 2, abs=0.02)
    assert figures["modality_gap"] < 0.1
    assert figures["image_effective_rank"] > 60
