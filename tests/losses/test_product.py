"""Which library computes a product, by the text of /proc/cpuinfo."""

from __future__ import annotations

import pytest
import torch

from cyclip_pl.losses.kernels import product as module


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2\n", False),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 avx512f\n", False),
        ("CPU implementer\t: 0x41\n", False),
        (None, False),
    ],
)
def test_the_processor_decides(cpuinfo, expected, tmp_path, monkeypatch) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(module, "_CPUINFO", path)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert module.onednn_is_faster.__wrapped__() is expected


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_both_libraries_compute_the_product(onednn, transposed, monkeypatch) -> None:
    monkeypatch.setattr(module, "onednn_is_faster", lambda: onednn)
    torch.manual_seed(0)
    a, b = torch.randn(7, 5), torch.randn(9, 5)
    if transposed:
        a, b = a.T.contiguous().T, b.T.contiguous().T
    exact = (a.double() @ b.double().T).float()
    torch.testing.assert_close(module.product(a, b), exact)
    # Into a part of a tensor, as the tiles do.
    whole = torch.ones(10, 9)
    module.add_product(whole[2:9], a, b)
    torch.testing.assert_close(whole[2:9], exact + 1)
    assert (whole[:2] == 1).all() and (whole[9:] == 1).all()
