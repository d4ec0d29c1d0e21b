from __future__ import annotations

import pytest
import torch
from torch import nn

from cyclip_pl.evaluation.features.modes import evaluation_mode, similarity


def test_each_module_gets_its_own_mode_back_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].eval()
    with pytest.raises(KeyError), evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_what_is_no_module_is_left_alone() -> None:
    with evaluation_mode(object()):
        assert not torch.is_grad_enabled()


def test_similarities_are_float32_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    image_ND, text_KD = (torch.randn(n, 64, generator=generator) for n in (5, 7))
    expected = image_ND.double() @ text_KD.double().T
    before = torch.get_float32_matmul_precision()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = similarity(image_ND, text_KD)
    assert actual.dtype == torch.float32
    assert torch.allclose(actual.double(), expected, atol=1e-5)
    assert torch.get_float32_matmul_precision() == before
    assert similarity(image_ND.bfloat16(), text_KD.half()).dtype == torch.float32
