"""Walking a matrix of scores in tiles, so that it never exists whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import linear

# Rows and columns of a tile. On a CPU 4 MB of float32 stay in the caches (256…2,048 take equal
# time within 3 %, 4,096 a fifth more); a GPU wants fewer and larger kernels.
CPU_TILE, GPU_TILE = 1024, 4096


def tile_size(x: Tensor) -> int:
    return CPU_TILE if x.device.type == "cpu" else GPU_TILE


def product(a: Tensor, b: Tensor) -> Tensor:
    """a·bᵀ, (m, D) and (n, D) → (m, n); float32 on a CPU by oneDNN.

    PyTorch's own choice there is MKL, which on AMD's processors takes twice the time.
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return linear(a.to_mkldnn(), b.to_mkldnn()).to_dense()
    return a @ b.T


def negative_tiles(
    x: Tensor, y: Tensor, scale: Tensor, samples: int, own: bool, once: bool = False
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Tiles of s·x·yᵀ, each with its rows and columns, −∞ where both are of one sample.

    Args:
        x: (V·n, D), views of n samples, one view after another.
        y: (U·n, D) likewise.
        scale: s.
        samples: n.
        own: the samples of y are those of x; else no pair is of one sample.
        once: y is x, and of a pair of blocks only one tile is wanted.

    Yields:
        rows, columns, and a tile that the caller may overwrite.
    """
    x_blocks, y_blocks = (_blocks(len(rows), samples, tile_size(x)) for rows in (x, y))
    for i, rows in enumerate(x_blocks):
        scaled = x[rows] * scale
        for columns in y_blocks[i if once else 0 :]:
            tile = product(scaled, y[columns])
            if own and (rows.start - columns.start) % samples == 0:
                tile.fill_diagonal_(-torch.inf)
            yield rows, columns, tile


def _blocks(rows: int, samples: int, size: int) -> list[slice]:
    """Consecutive rows, `size` of them or what is left of a view of `samples`."""
    return [
        slice(view + start, view + min(start + size, samples))
        for view in range(0, rows, samples)
        for start in range(0, samples, size)
    ]
