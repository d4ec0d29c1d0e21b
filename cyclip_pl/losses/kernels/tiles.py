"""Walk a matrix of scores in tiles, so that it never exists as a whole.

Shape legend: R and C rows and columns of the matrix, r and c those of one tile, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.losses.kernels.product import product

# Rows and columns of a tile. On a CPU 4 MB of float32 stay in the caches (256…2,048 take equal
# time within 3 %, 4,096 a fifth more); a GPU needs fewer and larger kernels.
CPU_TILE, GPU_TILE = 1024, 4096


def tile_size(x: Tensor) -> int:
    """Rows per tile on the device of `x`."""
    return CPU_TILE if x.device.type == "cpu" else GPU_TILE


def score_tiles(
    x_RD: Tensor, y_CD: Tensor, scale: Tensor, samples: int, own: bool, once: bool = False
) -> Iterator[tuple[slice, slice, Tensor, Tensor | None]]:
    """Tiles of s·x·yᵀ with their rows and columns.

    Args:
        x_RD: V views of n samples, one view after another: R = V·n.
        y_CD: U views likewise.
        scale: s.
        samples: n.
        own: Whether the samples of y are those of x; else no pair is of one sample.
        once: Whether y is x and only one tile per pair of blocks is wanted.

    Yields:
        The rows, the columns, the tile (r, c), which the caller may overwrite, and the part of it
        in which both are of one sample, its diagonal, or None.
    """
    x_blocks, y_blocks = (_blocks(len(rows), samples, tile_size(x_RD)) for rows in (x_RD, y_CD))
    for i, rows in enumerate(x_blocks):
        scaled_rD = x_RD[rows] * scale
        for columns in y_blocks[i if once else 0 :]:
            tile_rc = product(scaled_rD, y_CD[columns])
            same = own and (rows.start - columns.start) % samples == 0
            yield rows, columns, tile_rc, tile_rc.diagonal() if same else None


def negative_tiles(*args: Any, **kwargs: Any) -> Iterator[tuple[slice, slice, Tensor]]:
    """As `score_tiles`, with −∞ where both are of one sample."""
    for rows, columns, tile_rc, same in score_tiles(*args, **kwargs):
        if same is not None:
            same.fill_(-torch.inf)
        yield rows, columns, tile_rc


def _blocks(rows: int, samples: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` rows, each within one view of `samples` rows."""
    return [
        slice(view + start, view + min(start + size, samples))
        for view in range(0, rows, samples)
        for start in range(0, samples, size)
    ]
