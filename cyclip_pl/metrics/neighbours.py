"""The nearest training rows of each query, in bounded memory and in one order everywhere.

Shape legend: N queries, M training rows, D width, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def nearest(
    query_ND: Tensor,
    train_MD: Tensor,
    k: int,
    device: torch.device | str | None = None,
    query_chunk: int = 256,
    train_chunk: int = 16384,
) -> tuple[Tensor, Tensor]:
    """The k training rows of highest cosine to each query, nearest first.

    Rows have any float type and length; at most 2^32 of them are training rows.
    Cosines are computed in float64 and rounded to float32: equal rows then have equal cosines,
    wherever they stand, and the result is the same for any chunks and on any device. Of equal
    cosines the lower row number comes first. A cosine that is not finite becomes -inf and so
    comes last; a row of zeros has cosine 0 with all.

    The training rows pass once, `train_chunk` at a time, and stay where they are. `device`, that of
    the queries if None, holds the queries, the best k so far, a chunk of training rows and one
    block of cosines, at most

        16 N (D + 2 k) + 16 train_chunk D + 32 query_chunk train_chunk bytes.

    For 1,281,167 x 1,024 training rows, 5.2 GB where they are, 50,000 queries and k = 30, the
    device thus needs 1.3 GB.

    Returns:
        Cosines (N, k), float32, and row numbers (N, k), int64, on `device`.

    Raises:
        ValueError: k is less than 1 or more than M.
    """
    assert len(train_MD) <= _LOW
    number_M = torch.arange(len(train_MD))
    blocks = zip(number_M.split(train_chunk), train_MD.split(train_chunk), strict=True)
    return nearest_of_blocks(query_ND, blocks, k, device, query_chunk)


def nearest_of_blocks(
    query_ND: Tensor,
    blocks: Iterable[tuple[Tensor, Tensor]],
    k: int,
    device: torch.device | str | None = None,
    query_chunk: int = 256,
) -> tuple[Tensor, Tensor]:
    """`nearest` of training rows that arrive in blocks, in any order.

    A block has int64 numbers (m,), at most 2^32, no two equal over all blocks, and rows (m, D).
    """
    queries = _unit(query_ND, device or query_ND.device).split(query_chunk)
    best = [torch.empty(len(q), 0, dtype=torch.int64, device=q.device) for q in queries]
    rows = 0
    for number_m, train_mD in blocks:
        rows += len(number_m)
        train_mD = _unit(train_mD, queries[0].device)
        number_m = number_m.to(queries[0].device)
        for i, query_nD in enumerate(queries):
            key_nm = _keys(query_nD @ train_mD.T, number_m)
            best[i] = _top(torch.cat([best[i], _top(key_nm, k)], 1), k)
    if not 1 <= k <= rows:
        raise ValueError(f"cannot take the {k} nearest of {rows} training rows")
    key_Nk = torch.cat(best)
    cosine_Nk = _ordered((key_Nk >> 32).int()).view(torch.float32)
    return cosine_Nk, _LOW - (key_Nk & _LOW)


def majority(label_Nk: Tensor) -> Tensor:
    """Labels of neighbours, nearest first -> the majority among the nearest 1, 2, ... k: (N, k).

    Where several labels are the most frequent, drop the farthest neighbour until one is (CyCLIP,
    arXiv 2205.14459). That is the label that reached the highest count first: dropping goes back
    to where no other had caught up.
    """
    winner_Nk = torch.empty_like(label_Nk)
    winner_N = label_Nk[:, 0]
    most_N = torch.zeros_like(winner_N)
    for p, label_N in enumerate(label_Nk.T):
        count_N = (label_Nk[:, : p + 1] == label_N[:, None]).sum(1)
        winner_N = torch.where(count_N > most_N, label_N, winner_N)
        most_N = torch.maximum(count_N, most_N)
        winner_Nk[:, p] = winner_N
    return winner_Nk


def labels_of_nearest(
    query_ND: Tensor,
    train_MD: Tensor,
    train_label_M: Tensor,
    k: int,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosines (N, k) and `known_labels` (N, k) of the k nearest; arguments as for `nearest`."""
    cosine_Nk, number_Nk = nearest(query_ND, train_MD, k, device)
    return cosine_Nk, known_labels(cosine_Nk, number_Nk, train_label_M)


def known_labels(cosine_Nk: Tensor, number_Nk: Tensor, label_M: Tensor) -> Tensor:
    """Labels of neighbours, int64, (N, k), from their row numbers.

    A neighbour whose cosine is not finite has label -1: a diverged model's votes are for no class.
    """
    label_Nk = label_M.to(number_Nk.device)[number_Nk]
    return label_Nk.masked_fill(cosine_Nk.isinf(), -1)


def _unit(x_ND: Tensor, device: torch.device | str) -> Tensor:
    x_ND = x_ND.to(device, torch.float64, copy=True)
    return x_ND.div_(x_ND.norm(dim=1, keepdim=True).clamp_min_(1e-300))


def _ordered(bits: Tensor) -> Tensor:
    """The bits of a float32, int32, as an integer of the same order; inverts itself."""
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _top(key_nm: Tensor, k: int) -> Tensor:
    return key_nm.topk(min(max(k, 0), key_nm.shape[1])).values


def _keys(cosine_nm: Tensor, number_m: Tensor) -> Tensor:
    """int64 keys, no two of a row equal: the cosine in the upper bits, the number reversed below.

    `topk` does not define the order of equal values; these are never equal.
    """
    # Adding 0 makes -0 equal to 0.
    rounded_nm = cosine_nm.float().add_(0.0)
    rounded_nm.masked_fill_(~rounded_nm.isfinite(), -torch.inf)
    key_nm = _ordered(rounded_nm.view(torch.int32)).long()
    return key_nm.bitwise_left_shift_(32).add_(_LOW - number_m)
