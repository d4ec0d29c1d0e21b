"""Every tiled form against its dense one: values, gradients, ranks, precision, memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl import distributed
from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.hn_nce import hard_negative_loss
from cyclip_pl.losses.info_nce import info_nce
from cyclip_pl.losses.kernels import product, tiles
from cyclip_pl.losses.mp_nce import mp_nce_loss
from cyclip_pl.losses.nt_xent import nt_xent_loss
from cyclip_pl.losses.sigmoid import sigmoid_loss
from tests.helpers import formulas
from tests.helpers.distributed import run_distributed
from tests.helpers.formulas import relative_error, saved_bytes, with_gradients

# The sigmoid loss has one form, so plain matrices stand in for the other.
SIGMOID = {"tiled": sigmoid_loss, "dense": formulas.sigmoid_matrix}
# By name: the loss of (image views, text views, three scalars, three more) in a form.
LOSSES = {
    "contrastive": lambda i, t, s, b, form: contrastive_loss(i[0], t[0], s[0], form),
    "info_nce": lambda i, t, s, b, form: info_nce(i[0], t[0], s[0], form),
    "nt_xent": lambda i, t, s, b, form: nt_xent_loss(i[0], i[1], 0.2, form),
    "hard_negatives": lambda i, t, s, b, form: hard_negative_loss(
        i[0], t[0], s[0], 0.7, 0.5, form=form
    ),
    "sigmoid": lambda i, t, s, b, form: SIGMOID[form](i[0], t[0], s[0], b[0] - 3),
    "mp_nce": lambda i, t, s, b, form: mp_nce_loss(i, t, s, b, "balanced", form),
    "mp_nce_texts": lambda i, t, s, b, form: mp_nce_loss(i[:1], i[1:], s, b, "uniform", form),
}
# A batch of one sample.
REFUSE_ONE = {"hard_negatives", "mp_nce", "mp_nce_texts"}


def _inputs(n: int, d: int = 6, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, ...]:
    """(3, n, d) images and (1, n, d) texts that agree ever less, two sets of three scalars."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    noise = torch.linspace(0.1, 3, n, dtype=torch.float64)[:, None]
    shared = random(n, d)
    return (
        normalize(shared + noise * random(3, n, d), dim=-1),
        normalize(shared + noise * random(1, n, d), dim=-1),
        scale * torch.tensor([9.0, 14.0, 5.0], dtype=torch.float64),
        torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64),
    )


def _run(name: str, form: str | None, inputs: tuple[Tensor, ...]):
    # A loss that does not use an input gives it no gradient.
    def function(*leaves):
        return LOSSES[name](*leaves, form) + 0 * sum(x.sum() for x in leaves)

    return with_gradients(function, *inputs)


SIZES = [(1, 8), (2, 8), (7, 8), (33, 8), (33, 32), (129, 32)]


@pytest.mark.parametrize(
    ("name", "n", "tile"),
    [(name, *size) for name in LOSSES for size in SIZES if size[0] > 1 or name not in REFUSE_ONE],
)
def test_it_is_the_dense_form(name, n, tile, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", tile)
    inputs = _inputs(n, seed=n)
    tiled, dense = _run(name, "tiled", inputs), _run(name, "dense", inputs)
    torch.testing.assert_close(tiled, dense, rtol=1e-10, atol=1e-12)


def _on_rank(inputs):
    tiles.CPU_TILE = 8
    n = inputs[0].shape[1] // distributed.world_size()
    mine = slice(distributed.rank() * n, (distributed.rank() + 1) * n)
    mine_of = (inputs[0][:, mine], inputs[1][:, mine], *inputs[2:])
    return {name: _run(name, "tiled", mine_of) for name in LOSSES}


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_are_one_process(world) -> None:
    inputs = _inputs(11 * world)
    ranks = run_distributed(_on_rank, world, inputs)
    for name in LOSSES:
        values, gradients = _run(name, "dense", inputs)
        for rank in ranks:
            torch.testing.assert_close(rank[name][0], values, rtol=1e-10, atol=1e-12)
        for i, gradient in enumerate(gradients):
            of_ranks = [rank[name][1][i] for rank in ranks]
            # Rows belong to one rank each, the scalars to all.
            mean = torch.cat(of_ranks, 1) / world if i < 2 else sum(of_ranks) / world
            torch.testing.assert_close(mean, gradient, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", sorted(REFUSE_ONE))
@pytest.mark.parametrize("form", ["tiled", "dense"])
def test_a_batch_of_one_is_refused_where_there_must_be_negatives(name, form) -> None:
    with pytest.raises(ValueError, match="a batch of one sample has no negatives"):
        _run(name, form, _inputs(1))


@pytest.mark.parametrize("name", LOSSES)
# Up to s = 100 for the first of the scalars, where exponentials of float32 leave its range.
@pytest.mark.parametrize("scale", [1.0, 100 / 9])
def test_float32_is_within_rounding_of_float64(name, scale, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 64)
    inputs = _inputs(300, d=32, scale=scale)
    values, gradients = _run(name, "dense", inputs)
    narrow = _run(name, "tiled", tuple(x.float() for x in inputs))
    for actual, expected in zip(narrow[0] + narrow[1], values + gradients, strict=True):
        if expected.norm() > 0:
            assert relative_error(actual, expected) < 1e-5


def test_a_row_far_below_the_others_is_not_lost() -> None:
    # Scores of −100 and of 100 in one tile: float32 has no e^−200.
    rows = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0]], dtype=torch.float64))
    inputs = (rows, rows.flip(0).contiguous(), torch.tensor(100.0, dtype=torch.float64))
    wide = with_gradients(lambda *x: contrastive_loss(*x, "dense"), *inputs)
    narrow = with_gradients(lambda *x: contrastive_loss(*x, "tiled"), *(x.float() for x in inputs))
    for actual, expected in zip(narrow[0] + narrow[1], wide[0] + wide[1], strict=True):
        assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_rows_are_scored_in_float32_backward_too(name, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 32)
    image, text, scales, offsets = _inputs(65, d=16)
    image, text = image.bfloat16(), text.bfloat16()
    expected = _run(name, "dense", (image.double(), text.double(), scales, offsets))
    leaves = [x.requires_grad_() for x in (image, text, scales.float(), offsets.float())]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](*leaves, "tiled")
        loss.backward()
    assert loss.dtype == torch.float32
    assert relative_error(loss, expected[0][0]) < 1e-5
    for leaf, gradient, limit in zip(leaves, expected[1], (1e-2, 1e-2, 1e-5, 1e-5), strict=True):
        if leaf.grad is not None and gradient.norm() > 0:
            assert relative_error(leaf.grad, gradient) < limit


def _saved(name: str, form: str, inputs: tuple[Tensor, ...]) -> int:
    leaves = [x.float().requires_grad_() for x in inputs]
    return saved_bytes(lambda: LOSSES[name](*leaves, form))


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_kept_for_the_gradient_grows_with_n_and_not_its_square(name, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 64)
    small, large = _inputs(256, d=16), _inputs(1024, d=16)
    assert _saved(name, "tiled", large) < 4.5 * _saved(name, "tiled", small)
    if name != "contrastive":  # its dense form has the gradients after the first pass
        assert _saved(name, "dense", large) > 10 * _saved(name, "dense", small)


PEAK = """
import resource, sys, torch
from cyclip_pl.losses.consistency import consistency_penalty
from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.mp_nce import mp_nce_loss
from cyclip_pl.losses.sigmoid import sigmoid_loss

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def run(n):
    x, y = torch.nn.functional.normalize(torch.randn(2, n, 32), dim=-1).requires_grad_()
    three = torch.ones(3)
    contrastive_loss(x, y, 10.0).backward()
    sigmoid_loss(x, y, 10.0, -10.0).backward()
    consistency_penalty(x, y, 0.25, 0.5)[0].backward()
    mp_nce_loss(x[None], y[None], 10 * three, 0 * three).backward()
torch.set_num_threads(1)
run(2048)
before = peak()
run(6144)
print(peak() - before)
"""


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_is_the_same_by_either_library(name, monkeypatch) -> None:
    inputs = tuple(x.float() for x in _inputs(33, d=16))
    for form in ("tiled", "dense"):
        found = {}
        for onednn in (False, True):
            monkeypatch.setattr(product, "onednn_is_faster", lambda onednn=onednn: onednn)
            found[onednn] = _run(name, form, inputs)
        torch.testing.assert_close(found[True], found[False], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_no_form_by_default_ever_holds_all_scores() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True
    )
    # 6,144² float32 scores are 144 MB, all rows and their gradients 3.
    assert float(result.stdout) < 50


def test_the_form_is_chosen_by_shape(monkeypatch) -> None:
    from cyclip_pl.losses.kernels import negatives

    x = torch.zeros(1, 8, 3)
    monkeypatch.setattr(negatives, "DENSE_ALONE", 64)
    monkeypatch.setattr(negatives, "DENSE_BLOCK", 64)
    monkeypatch.setattr(negatives, "DENSE_SCORES", 640)
    assert negatives.choose(None, x, x) == "dense"
    assert negatives.choose(None, x.expand(2, -1, -1), x) == "tiled"
    monkeypatch.setattr(negatives, "DENSE_ALONE", 63)
    assert negatives.choose(None, x, x) == "tiled"
    for ranks, form in ((10, "dense"), (11, "tiled")):
        monkeypatch.setattr(negatives, "world_size", lambda ranks=ranks: ranks)
        assert negatives.choose(None, x, x) == form
    with pytest.raises(ValueError, match="form=.*: must be null or one of dense, tiled"):
        contrastive_loss(x[0], x[0], 1.0, "sparse")


def test_without_gradients_nothing_is_kept(monkeypatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 8)
    inputs = _inputs(20)
    for name in LOSSES:
        with torch.no_grad():
            tiled = LOSSES[name](*inputs, "tiled")
        assert not tiled.requires_grad
        torch.testing.assert_close(tiled, LOSSES[name](*inputs, "dense"), rtol=1e-10, atol=1e-12)
