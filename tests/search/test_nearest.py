"""Nearest rows: against a sort of all cosines, by PyTorch and by faiss."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.search import nearest
from cyclip_pl.search.nearest import FaissNearest, Nearest, TorchNearest, nearest_to

KINDS = [TorchNearest, FaissNearest]


def rows(count: int = 500, width: int = 24) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return normalize(torch.randn(count, width, generator=generator), dim=1).half().numpy()


def query(width: int = 24) -> torch.Tensor:
    return normalize(torch.randn(width, generator=torch.Generator().manual_seed(1)), dim=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [7, 100_000])
def test_it_is_a_sort(kind: type[Nearest], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    row_ND = rows()
    row_ND[::5] = np.nan
    row_ND[3, 2] = np.inf
    cosine_N = row_ND.astype(np.float64) @ query().double().numpy()
    good = np.isfinite(row_ND).all(1)
    expected = sorted(np.flatnonzero(good).tolist(), key=lambda i: -cosine_N[i])
    search = kind(row_ND)
    assert len(search) == good.sum()
    for k in (1, 24, 1000):
        found = search(query(), k)
        assert [number for number, _ in found] == expected[:k]
        assert np.allclose([c for _, c in found], cosine_N[expected[:k]], atol=1e-6)


def test_both_give_the_same() -> None:
    torch_found, faiss_found = (kind(rows())(query(), 50) for kind in KINDS)
    assert [number for number, _ in torch_found] == [number for number, _ in faiss_found]
    assert np.allclose([c for _, c in torch_found], [c for _, c in faiss_found], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_come_in_their_order(kind: type[Nearest]) -> None:
    assert [number for number, _ in kind(np.repeat(rows(1), 9, 0))(query(), 9)] == list(range(9))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_find(kind: type[Nearest]) -> None:
    assert kind(rows()[:0])(query(), 3) == []
    assert kind(np.full((4, 24), np.nan, np.float16))(query(), 3) == []
    assert kind(rows())(torch.full((24,), torch.nan), 3) == []


def test_faiss_is_for_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(nearest_to(rows()), TorchNearest)
    monkeypatch.setattr(nearest, "FAISS_FROM", 500)
    assert isinstance(nearest_to(rows()), FaissNearest)
    assert isinstance(nearest_to(rows(499)), TorchNearest)
    assert isinstance(nearest_to(rows(), "meta"), TorchNearest)
    # Without the extra PyTorch searches.
    monkeypatch.setattr(nearest, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert isinstance(nearest_to(rows()), TorchNearest)
