"""Matrix products by the faster of two libraries, MKL and oneDNN."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear

_CPUINFO = Path("/proc/cpuinfo")


def product(a_rD: Tensor, b_cD: Tensor) -> Tensor:
    """a·bᵀ, (r, c)."""
    if _by_onednn(a_rD):
        return linear(a_rD.to_mkldnn(), b_cD.to_mkldnn()).to_dense()
    return a_rD @ b_cD.T


def add_product(sum_rc: Tensor, a_rD: Tensor, b_cD: Tensor) -> None:
    """Add a·bᵀ to `sum_rc`, in place."""
    if _by_onednn(a_rD):
        sum_rc += product(a_rD, b_cD)
    else:
        sum_rc.addmm_(a_rD, b_cD.T)


def _by_onednn(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and onednn_is_faster()


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN beats MKL, PyTorch's own choice, for float32 on this CPU.

    On AMD processors with AVX-512 (Zen 5) MKL takes twice oneDNN's time; on those without (Zen 3)
    0.6 … 0.8 of it, and on Intel's half. The processor decides, and no measurement, so that all
    ranks and a resumed run compute the same digits.
    """
    if not torch.backends.mkldnn.is_available() or not _CPUINFO.exists():
        return False
    words = _CPUINFO.read_text().split()
    return "AuthenticAMD" in words and "avx512f" in words
