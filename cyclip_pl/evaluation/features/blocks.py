"""A set's encoded images, on the rank that encoded them.

Work is dealt to the ranks in whole batches, not image by image. A batch holds the same images
however many processes there are. So its rows come out of the same arithmetic, to the last bit, and
so does every metric that is updated a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.distributed import gather_rows, rank, rows_of_all, world_size
from cyclip_pl.evaluation.sets.interface import ImageSet

_PASSING = 16384  # rows that pass by at once


def blocks_of_rank(total: int, size: int) -> list[tuple[range, bool]]:
    """This rank's share of `range(total)` cut into blocks of `size`, dealt in turn.

    Every rank gets equally many, since each forward pass of a sharded model is a collective. A
    block marked False only fills up a round: drop its results.
    """
    assert total > 0 and size > 0
    blocks = [range(start, min(start + size, total)) for start in range(0, total, size)]
    mine = [(block, True) for block in blocks[rank() :: world_size()]]
    rounds = -(-len(blocks) // world_size())
    return mine + [(blocks[0], False)] * (rounds - len(mine))


@dataclass
class Rows:
    """n decodable images, in the set's order, on the CPU.

    Attributes:
        embedding_nD: float32, unit-norm rows.
        index_n: int64, positions in the set, increasing.
        label_n: int64, the set's labels; -1 throughout where it has none.
        feature_nF: float32, the frozen encoder's features, not normalised; None if no evaluation
            asked for them, or the model gives none.
    """

    embedding_nD: Tensor
    index_n: Tensor
    label_n: Tensor
    feature_nF: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index_n)

    @property
    def probe_nF(self) -> Tensor:
        """What a probe looks at: the features, or the embeddings where the model gives none."""
        return self.embedding_nD if self.feature_nF is None else self.feature_nF

    @property
    def probed(self) -> str:
        """Which of the two that is, for the details."""
        return "embeddings" if self.feature_nF is None else "features"

    def columns(self) -> dict[str, Tensor]:
        """The tensors by name, without those that are None."""
        return {name: x for name, x in vars(self).items() if x is not None}

    def __getitem__(self, which: slice) -> Rows:
        return Rows(**{name: x[which] for name, x in self.columns().items()})


@dataclass
class EncodedImages:
    """This rank's share of a set's N decodable images.

    Attributes:
        rows: All of the share.
        sizes: How many of them each batch has.
        total: N, on all ranks together.
    """

    rows: Rows
    sizes: list[int]
    total: int

    @property
    def blocks(self) -> list[Rows]:
        """The rows by batch; of a rank without images, one block without rows."""
        ends = accumulate(self.sizes)
        found = [
            self.rows[end - size : end] for end, size in zip(ends, self.sizes, strict=True) if size
        ]
        return found or [self.rows]

    def by_block(self, x_n: Tensor) -> tuple[Tensor, ...]:
        """A value for each of this rank's images, cut as `blocks`."""
        return x_n.split([len(block) for block in self.blocks])

    @cached_property
    def number_N(self) -> Tensor:
        """int64: where each image stands among the N, in rank order, on every rank."""
        return gather_rows(self.rows.index_n).argsort().argsort()

    def passing_by(self, x_n: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows of all ranks, a block at a time: where they stand among the N, and the rows.

        Args:
            x_n: One row for each of this rank's images.
        """
        first = 0
        for x_m in rows_of_all(x_n, _PASSING):
            yield self.number_N[first : first + len(x_m)], x_m
            first += len(x_m)

    def whole(self, x_n: Tensor) -> Tensor:
        """Rows of all ranks in the set's order, on every rank and on the CPU; see `passing_by`."""
        whole_N = torch.empty(self.total, *x_n.shape[1:], dtype=x_n.dtype)
        for number_m, x_m in self.passing_by(x_n):
            whole_N[number_m] = x_m.cpu()
        return whole_N

    def chosen(self, index_c: Tensor, x_n: Tensor) -> Tensor:
        """Rows of a few images of all ranks, on every rank and on the CPU.

        Args:
            index_c: int64, positions in the set, increasing, of images that could be decoded.
            x_n: One row for each of this rank's images.
        """
        mine_n = torch.isin(self.rows.index_n, index_c)
        order_c = gather_rows(self.rows.index_n[mine_n]).argsort()
        return gather_rows(x_n.cpu()[mine_n])[order_c]

    def columns(self, dataset: ImageSet, **columns: Tensor) -> dict[str, list[Any]]:
        """The set's predictions: `index`, `key`, `label` and more columns, on every rank.

        Args:
            columns: A value for each of this rank's images.
        """
        index = self.whole(self.rows.index_n).tolist()
        return {
            "index": index,
            "key": [dataset.key(i) for i in index],
            "label": self.whole(self.rows.label_n).tolist(),
            **{name: self.whole(values).tolist() for name, values in columns.items()},
        }
