"""Walk a matrix of scores in tiles, so that it never exists as a whole.

Shape legend: R and C rows and columns of the matrix, r and c those of one tile, D width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import linear

# Rows and columns of a tile. On a CPU 4 MB of float32 stay in the caches (256…2,048 take equal
# time within 3 %, 4,096 a fifth more); a GPU needs fewer and larger kernels.
CPU_TILE, GPU_TILE = 1024, 4096


def tile_size(x: Tensor) -> int:
    """Rows per tile on the device of `x`."""
    return CPU_TILE if x.device.type == "cpu" else GPU_TILE


def product(a_rD: Tensor, b_cD: Tensor) -> Tensor:
    """a·bᵀ, (r, c); float32 on a CPU is computed by oneDNN.

    PyTorch's own choice there is MKL, which takes twice the time on AMD processors.
    """
    on_cpu = a_rD.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if on_cpu and a_rD.dtype == torch.float32:
        return linear(a_rD.to_mkldnn(), b_cD.to_mkldnn()).to_dense()
    return a_rD @ b_cD.T


def negative_tiles(
    x_RD: Tensor, y_CD: Tensor, scale: Tensor, samples: int, own: bool, once: bool = False
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Tiles of s·x·yᵀ with their rows and columns, −∞ where both are of one sample.

    Args:
        x_RD: V views of n samples, one view after another: R = V·n.
        y_CD: U views likewise.
        scale: s.
        samples: n.
        own: Whether the samples of y are those of x; else no pair is of one sample.
        once: Whether y is x and only one tile per pair of blocks is wanted.

    Yields:
        The rows, the columns, and the tile (r, c), which the caller may overwrite.
    """
    x_blocks, y_blocks = (_blocks(len(rows), samples, tile_size(x_RD)) for rows in (x_RD, y_CD))
    for i, rows in enumerate(x_blocks):
        scaled_rD = x_RD[rows] * scale
        for columns in y_blocks[i if once else 0 :]:
            tile_rc = product(scaled_rD, y_CD[columns])
            if own and (rows.start - columns.start) % samples == 0:
                tile_rc.fill_diagonal_(-torch.inf)
            yield rows, columns, tile_rc


def _blocks(rows: int, samples: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` rows, each within one view of `samples` rows."""
    return [
        slice(view + start, view + min(start + size, samples))
        for view in range(0, rows, samples)
        for start in range(0, samples, size)
    ]
