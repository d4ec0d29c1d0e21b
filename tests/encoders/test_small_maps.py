"""Convolutions of small maps: values and gradients of torch's, and which of them change."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cyclip_pl.encoders import small_maps

COVERED = [  # kernel, stride, padding, height, width
    (3, 1, 1, 1, 1),
    (3, 2, 1, 1, 1),
    (3, 1, 1, 2, 2),
    (3, 2, 1, 2, 2),
    (3, 1, 1, 1, 2),
    (5, 1, 2, 3, 3),
    (5, 2, 2, 3, 2),
    (3, 1, 0, 3, 3),
    (5, 1, 1, 3, 3),
    (3, 1, 2, 1, 1),
    ((1, 3), 1, (0, 1), 1, 2),
]
NOT_COVERED = [(3, 1, 1, 3, 3), (3, 1, 1, 2, 3), (3, 2, 1, 4, 4), (5, 1, 2, 4, 4)]


def pair(bias: bool = False, **settings: object) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, bias=bias, **settings).double()  # type: ignore[arg-type]
    ours = copy.deepcopy(plain)
    small_maps.use(nn.Sequential(ours))
    return plain, ours


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "height", "width"), COVERED + NOT_COVERED
)
def test_values_and_gradients_are_those_of_torch(
    kernel_size, stride, padding, height, width, channels_last, bias
):
    plain, ours = pair(bias, kernel_size=kernel_size, stride=stride, padding=padding)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    results = []
    for module in (plain, ours):
        module.to(memory_format=layout)
        torch.manual_seed(1)
        x = torch.randn(4, 5, height, width, dtype=torch.float64).to(memory_format=layout)
        x.requires_grad_()
        y = module(x)
        (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
        grads = [p.grad for p in module.parameters()]
        assert all(
            g.stride() == p.stride() for g, p in zip(grads, module.parameters(), strict=True)
        )
        results.append([y, x.grad, *grads])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", COVERED)
def test_a_covered_map_calls_no_convolution(case, monkeypatch):
    kernel_size, stride, padding, *size = case
    _, ours = pair(kernel_size=kernel_size, stride=stride, padding=padding)
    monkeypatch.setattr(nn.Conv2d, "forward", None)  # would raise
    ours(torch.randn(2, 5, *size, dtype=torch.float64))


@pytest.mark.parametrize("case", NOT_COVERED)
def test_another_map_is_left_to_torch(case, monkeypatch):
    kernel_size, stride, padding, *size = case
    _, ours = pair(kernel_size=kernel_size, stride=stride, padding=padding)
    seen = []
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: seen.append(x.shape))
    ours(torch.randn(2, 5, *size, dtype=torch.float64))
    assert seen == [(2, 5, *size)]


def test_evaluations_and_exports_are_left_to_torch(monkeypatch):
    _, ours = pair(kernel_size=3, padding=1)
    seen = []
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: seen.append(x.shape))
    ours.eval()(torch.randn(2, 5, 1, 1, dtype=torch.float64))
    assert seen == [(2, 5, 1, 1)]


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    ],
)
def test_other_kinds_keep_their_class(settings):
    assert type(pair(**settings)[1]) is nn.Conv2d


def test_groups_keep_their_class():
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4))
    small_maps.use(grouped)
    assert type(grouped[0]) is nn.Conv2d


def test_an_empty_output_is_torchs_error():
    _, ours = pair(kernel_size=3)
    with pytest.raises(RuntimeError):
        ours(torch.randn(1, 5, 1, 1, dtype=torch.float64))


def test_bfloat16_autocast_computes_in_bfloat16():
    _, ours = pair(kernel_size=3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.float()(torch.randn(2, 5, 2, 2)).dtype == torch.bfloat16


def test_compiled_without_graph_break():
    plain, ours = pair(kernel_size=3, padding=1)
    x = torch.randn(2, 5, 2, 2, dtype=torch.float64)
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), plain(x))
