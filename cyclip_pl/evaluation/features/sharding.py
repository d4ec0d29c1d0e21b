"""Who computes what, under a process group.

Work is dealt to the ranks in whole batches, not sample by sample: a batch holds the same samples
however many processes there are, so each embedding comes out of the same arithmetic, to the last
bit, and so do the figures.
"""

from __future__ import annotations

from cyclip_pl.distributed import rank, world_size


def blocks_of_rank(total: int, size: int) -> list[tuple[range, bool]]:
    """This rank's share of `range(total)` cut into blocks of `size`, dealt in turn.

    Every rank gets equally many, since each forward pass of a sharded model is a collective; a
    block marked False fills up, and what is computed for it must be dropped.
    """
    assert total > 0 and size > 0
    blocks = [range(start, min(start + size, total)) for start in range(0, total, size)]
    mine = [(block, True) for block in blocks[rank() :: world_size()]]
    rounds = -(-len(blocks) // world_size())
    return mine + [(blocks[0], False)] * (rounds - len(mine))
