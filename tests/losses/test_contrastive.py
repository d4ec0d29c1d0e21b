import pytest
import torch

from cyclip_pl import distributed
from cyclip_pl.losses.contrastive import contrastive_loss
from tests.helpers import formulas
from tests.helpers.distributed import run_distributed
from tests.helpers.formulas import relative_error, unit_rows, with_gradients


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 5), (7, 4), (13, 32)])
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_value_and_gradients_are_the_formulas(n, d, scale) -> None:
    rows = (*unit_rows(n, d, seed=n), torch.tensor(scale, dtype=torch.float64))
    values, gradients = with_gradients(contrastive_loss, *rows)
    expected, expected_gradients = with_gradients(formulas.contrastive, *rows)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)


def test_float32_is_within_rounding_of_float64() -> None:
    image, text = unit_rows(256, 64, seed=0, correlation=0.1)
    scale = torch.tensor(50.0, dtype=torch.float64)
    wide, wide_gradients = with_gradients(contrastive_loss, image, text, scale)
    narrow, gradients = with_gradients(contrastive_loss, image.float(), text.float(), scale.float())
    assert relative_error(narrow[0], wide[0]) < 1e-5
    for actual, expected in zip(gradients, wide_gradients, strict=True):
        assert relative_error(actual, expected) < 1e-5


def test_bfloat16_rows_are_scored_in_float32_even_under_autocast() -> None:
    image, text = unit_rows(64, 32, seed=1, correlation=0.1)
    image, text = image.bfloat16(), text.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_loss(image, text, torch.tensor(100.0))
    expected = contrastive_loss(image.double(), text.double(), 100.0)
    assert loss.dtype == torch.float32
    assert relative_error(loss, expected) < 1e-5


def _on_rank(image, text, scale):
    rank, world = distributed.rank(), distributed.world_size()
    mine = slice(rank * len(image) // world, (rank + 1) * len(image) // world)
    values, gradients = with_gradients(contrastive_loss, image[mine], text[mine], scale)
    return values[0], gradients


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_equal_one_process(world) -> None:
    image, text = unit_rows(12, 5, seed=3)
    scale = torch.tensor(9.0, dtype=torch.float64)
    (value,), gradients = with_gradients(contrastive_loss, image, text, scale)
    results = run_distributed(_on_rank, world, image, text, scale)
    for rank_value, _ in results:
        torch.testing.assert_close(rank_value, value, rtol=1e-12, atol=0)
    # A parameter's gradient is averaged over ranks; rows belong to one rank each.
    for i in range(2):
        rows = torch.cat([g[i] for _, g in results]) / world
        torch.testing.assert_close(rows, gradients[i], rtol=1e-9, atol=1e-12)
    mean = torch.stack([g[2] for _, g in results]).mean(0)
    torch.testing.assert_close(mean, gradients[2], rtol=1e-9, atol=1e-12)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must both be \(n, D\)"):
        contrastive_loss(torch.zeros(3, 4), torch.zeros(2, 4), 1.0)


CAPTIONS = [3, 1, 3, 2, 2, 3, 0]


@pytest.mark.parametrize("form", [None, "tiled"])
def test_equal_captions_are_no_negatives(form) -> None:
    rows = (*unit_rows(7, 4, seed=5), torch.tensor(9.0, dtype=torch.float64))
    ids = torch.tensor([CAPTIONS])
    ours = with_gradients(lambda *x: contrastive_loss(*x, form, ids), *rows)
    expected = with_gradients(lambda *x: formulas.contrastive(*x, CAPTIONS), *rows)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(ours[0][0], contrastive_loss(*rows))


def test_a_batch_of_one_caption_has_nothing_to_learn() -> None:
    rows = (*unit_rows(5, 4, seed=5), torch.tensor(9.0, dtype=torch.float64))
    ids = torch.zeros(1, 5, dtype=torch.int64)
    (value,), gradients = with_gradients(lambda *x: contrastive_loss(*x, None, ids), *rows)
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)
