"""The rows of highest cosine to a query, exactly: by PyTorch, or by faiss among many rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

FAISS_FROM = 100_000
"""Rows from which faiss searches on a CPU, if it is installed: it takes half the memory."""

_CHUNK = 16384


class Nearest(ABC):
    """Searches among float16 rows (N, D) of unit norm, without those that are not finite.

    Attributes:
        number_n: int64, the numbers of the finite rows, increasing.
    """

    def __init__(self, row_ND: np.ndarray) -> None:
        pieces = (row_ND[start : start + _CHUNK] for start in range(0, len(row_ND), _CHUNK))
        finite = [np.isfinite(piece).all(1) for piece in pieces]
        self.number_n = np.flatnonzero(np.concatenate(finite)) if finite else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.number_n)

    def __call__(self, query_D: Tensor, k: int) -> list[tuple[int, float]]:
        """Number and cosine of the k rows nearest to a query, nearest first; fewer if need be.

        Of equal cosines the lower number comes first.
        """
        k = min(k, len(self))
        if k == 0 or not bool(query_D.isfinite().all()):
            return []
        cosine_k, place_k = self._search(query_D.detach().float(), k)
        found = zip(self.number_n[place_k].tolist(), cosine_k.tolist(), strict=True)
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _pieces(self, row_ND: np.ndarray) -> Iterator[np.ndarray]:
        """The finite rows, float32, some at a time."""
        for start in range(0, len(self), _CHUNK):
            yield row_ND[self.number_n[start : start + _CHUNK]].astype(np.float32)

    @abstractmethod
    def _search(self, query_D: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and places among the finite rows, (k,) each."""


class TorchNearest(Nearest):
    """A matrix product in float32 on `device`, which holds 4 N D bytes."""

    def __init__(self, row_ND: np.ndarray, device: torch.device | str = "cpu") -> None:
        super().__init__(row_ND)
        self._row_nD = torch.empty(len(self), row_ND.shape[1], device=device)
        first = 0
        for piece in self._pieces(row_ND):
            self._row_nD[first : first + len(piece)] = torch.from_numpy(piece)
            first += len(piece)

    def _search(self, query_D: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
        cosine_n = self._row_nD @ query_D.to(self._row_nD.device)
        cosine_k, place_k = cosine_n.topk(k)
        return cosine_k.cpu().numpy(), place_k.cpu().numpy()


class FaissNearest(Nearest):
    """faiss's flat index of float16 rows, on the CPU: 2 N D bytes, and nothing is approximate."""

    def __init__(self, row_ND: np.ndarray) -> None:
        import faiss  # an extra

        super().__init__(row_ND)
        kind = faiss.ScalarQuantizer.QT_fp16
        width = row_ND.shape[1]
        self._index = faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)
        for piece in self._pieces(row_ND):
            self._index.add(piece)

    def _search(self, query_D: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
        cosine_1k, place_1k = self._index.search(query_D.cpu().numpy()[None], k)
        return cosine_1k[0], place_1k[0]


def nearest_to(row_ND: np.ndarray, device: torch.device | str = "cpu") -> Nearest:
    """What searches these rows best: faiss among many on a CPU, else PyTorch on `device`."""
    many = len(row_ND) >= FAISS_FROM and torch.device(device).type == "cpu"
    if many and find_spec("faiss") is not None:
        return FaissNearest(row_ND)
    return TorchNearest(row_ND, device)
