"""Orthogonal momentum: singular values, convolutions as matrices, taps without gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cyclip_pl.optimization import orthogonal as module
from cyclip_pl.optimization.orthogonal import OrthogonalMomentum, orthogonal


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_dtype", lambda matrix: torch.float32)


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (12, 12), (1, 5)])
def test_singular_values_are_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    x = randn(*shape)
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    found = u.T @ orthogonal(x) @ vh.T
    values = found.diagonal()
    assert values.min() > 0.6 and values.max() < 1.3
    torch.testing.assert_close(found, values.diag(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_by_the_gram_matrix_it_is_the_same(steps: int) -> None:
    wide = randn(8, 40)
    wide[3] = wide[2]  # a singular value of 0
    wide /= wide.norm()
    expected = module._direct(wide.double(), steps)
    torch.testing.assert_close(module._by_gram(wide.double(), steps), expected)
    torch.testing.assert_close(module._by_gram(wide, steps), expected.float(), atol=1e-4, rtol=0)


def test_zeros_stay_zeros() -> None:
    assert not orthogonal(torch.zeros(3, 4)).any()


def test_the_polynomial_in_float64() -> None:
    """Of the singular values themselves: x ← a·x + b·x³ + c·x⁵, five times."""
    x = randn(4, 9)
    u, s, vh = torch.linalg.svd(x.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonal(x).double(), u @ s.diag() @ vh, atol=1e-4, rtol=0)


def one_step(p: nn.Parameter, gradient: Tensor, **settings: float) -> Tensor:
    p.grad = gradient
    before = p.detach().clone()
    OrthogonalMomentum([p], **settings).step()  # type: ignore[arg-type]
    return p.detach() - before


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_convolution_moves_as_its_matrix(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    weight, gradient = randn(8, 4, 3, 3), randn(8, 4, 3, 3) + 0.1
    convolution = nn.Parameter(weight.to(memory_format=layout))
    as_matrix = nn.Parameter(weight.permute(0, 2, 3, 1).flatten(1))
    moved = one_step(convolution, gradient.to(memory_format=layout))
    expected = one_step(as_matrix, gradient.permute(0, 2, 3, 1).flatten(1))
    torch.testing.assert_close(moved.permute(0, 2, 3, 1).flatten(1), expected)


def test_taps_without_gradients_are_left_out() -> None:
    """A 3×3 convolution of 1×1 maps is a matrix of its middle taps."""
    weight, middle = randn(8, 4, 3, 3), randn(8, 4)
    gradient = torch.zeros(8, 4, 3, 3)
    gradient[:, :, 1, 1] = middle
    moved = one_step(nn.Parameter(weight.clone()), gradient, weight_decay=0.0)
    expected = one_step(nn.Parameter(weight[:, :, 1, 1].clone()), middle, weight_decay=0.0)
    torch.testing.assert_close(moved[:, :, 1, 1], expected)
    moved[:, :, 1, 1] = 0
    assert not moved.any()


def test_no_gradient_at_all_decays_only() -> None:
    weight = randn(8, 4, 3, 3)
    moved = one_step(nn.Parameter(weight.clone()), torch.zeros_like(weight), lr=0.1)
    torch.testing.assert_close(moved, -0.01 * weight)


def test_a_wrong_name() -> None:
    with pytest.raises(ValueError, match=r"^optimizer\.adjust_lr_fn=rms: must be one of original"):
        OrthogonalMomentum([nn.Parameter(randn(2, 2))], adjust_lr_fn="rms")
