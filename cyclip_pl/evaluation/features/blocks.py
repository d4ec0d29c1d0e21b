"""A set's encoded images, on the rank that encoded them.

Work is dealt to the ranks in whole batches, not image by image. A batch holds the same images
however many processes there are. So its rows come out of the same arithmetic, to the last bit, and
so does every metric that is updated a block at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cyclip_pl.distributed import gather_rows, rank, world_size
from cyclip_pl.evaluation.sets.interface import ImageSet


def blocks_of_rank(total: int, size: int) -> list[tuple[range, bool]]:
    """This rank's share of `range(total)` cut into blocks of `size`, dealt in turn.

    Every rank gets equally many, since each forward pass of a sharded model is a collective. A
    block marked False fills up: what is computed for it must be dropped.
    """
    assert total > 0 and size > 0
    blocks = [range(start, min(start + size, total)) for start in range(0, total, size)]
    mine = [(block, True) for block in blocks[rank() :: world_size()]]
    rounds = -(-len(blocks) // world_size())
    return mine + [(blocks[0], False)] * (rounds - len(mine))


@dataclass
class Block:
    """The b decodable images of one batch, in the set's order, on the CPU.

    Attributes:
        embedding_bD: float32, unit-norm rows.
        feature_bF: float32, the frozen encoder's features, not normalised; None if no evaluation
            asked for them, or the model gives none.
        index_b: int64, positions in the set, increasing.
        label_b: int64, the set's labels; -1 throughout where it has none.
    """

    embedding_bD: Tensor
    feature_bF: Tensor | None
    index_b: Tensor
    label_b: Tensor

    def __len__(self) -> int:
        return len(self.index_b)

    @property
    def row_bF(self) -> Tensor:
        """What a probe looks at: the features, or the embeddings where the model gives none."""
        return self.embedding_bD if self.feature_bF is None else self.feature_bF


@dataclass
class EncodedImages:
    """This rank's share of a set's decodable images.

    Attributes:
        blocks: In the set's order, one or more; of a rank without images, one of no rows.
        total: Decodable images on all ranks.
    """

    blocks: list[Block]
    total: int

    def cat(self, name: str) -> Tensor:
        """This rank's rows of an attribute of `Block`: `embedding_bD`, `row_bF`, ..."""
        return torch.cat([getattr(block, name) for block in self.blocks])

    def all_indices(self) -> Tensor:
        """int64, (N,), increasing: the decodable images of all ranks, on every rank."""
        return gather_rows(self.cat("index_b")).sort().values

    def columns(self, dataset: ImageSet, **columns: Tensor | list[Tensor]) -> dict[str, list]:
        """What a set's predictions hold: a row for each decodable image of all ranks.

        Args:
            columns: A value for each of this rank's images, whole or by block.

        Returns:
            `index`, `key`, `label` and the columns, in the set's order, on every rank.
        """
        local = {"index": self.cat("index_b"), "label": self.cat("label_b")}
        for name, values in columns.items():
            local[name] = torch.cat(values) if isinstance(values, list) else values
        whole = {name: gather_rows(values.cpu()) for name, values in local.items()}
        order_N = whole["index"].argsort()
        found = {name: values[order_N].tolist() for name, values in whole.items()}
        index, label = found.pop("index"), found.pop("label")
        return {"index": index, "key": [dataset.key(i) for i in index], "label": label, **found}
