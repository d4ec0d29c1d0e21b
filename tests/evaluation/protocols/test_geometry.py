from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.distributed import alone, world_size
from cyclip_pl.evaluation.protocols.geometry import captioned_geometry, labelled_geometry
from tests.helpers.distributed import run_distributed
from tests.helpers.formulas import unit_rows


def test_float32_rows_lose_no_more_than_their_own_digits() -> None:
    image, text = unit_rows(64, 8, seed=1)
    exact = captioned_geometry(image, text)
    assert captioned_geometry(image.float(), text.float()) == pytest.approx(exact, rel=1e-5)


def test_a_diverged_model_has_metrics_that_say_so() -> None:
    nan = torch.full((4, 3), torch.nan)
    assert all(math.isnan(value) for value in captioned_geometry(nan, nan).values())
    label = torch.arange(4)
    assert all(math.isnan(value) for value in labelled_geometry(nan, nan, label).values())


def _on_a_rank(image: Tensor, text: Tensor, label: Tensor) -> tuple[dict[str, float], int, int]:
    with alone():
        inside = world_size()
    metrics = captioned_geometry(image, text) | {
        f"label_{name}": value for name, value in labelled_geometry(image, text, label).items()
    }
    return metrics, inside, world_size()


def test_ranks_that_hold_the_same_rows_give_the_metrics_of_one_process() -> None:
    image, text = (x.float() for x in unit_rows(33, 6, seed=6))
    label = torch.arange(33) % 7
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        metrics, _, _ = _on_a_rank(image, text, label)
    finally:
        torch.set_num_threads(threads)
    for of_rank in run_distributed(_on_a_rank, 3, image, text, label):
        assert of_rank == (metrics, 1, 3)


def test_random_embeddings_are_near_uniform() -> None:
    generator = torch.Generator().manual_seed(7)
    image, text = (normalize(torch.randn(1000, 64, generator=generator), dim=1) for _ in range(2))
    metrics = captioned_geometry(image, text)
    assert metrics["alignment"] == pytest.approx(2, abs=0.05)
    # log E exp(-4 + 4 <I, T>), whose cosine has variance 1/64.
    assert metrics["uniformity"] == pytest.approx(-4 + 16 / 64 / 2, abs=0.02)
    assert metrics["modality_gap"] < 0.1
    assert metrics["image_effective_rank"] > 60
