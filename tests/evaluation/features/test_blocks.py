from __future__ import annotations

import pytest

from cyclip_pl.evaluation.features import blocks


@pytest.mark.parametrize("total", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_every_index_once_in_blocks_that_do_not_depend_on_the_ranks(
    monkeypatch: pytest.MonkeyPatch, total: int, world: int
) -> None:
    alone = [list(block) for block, _ in blocks.blocks_of_rank(total, 4)]
    assert [index for block in alone for index in block] == list(range(total))
    monkeypatch.setattr(blocks, "world_size", lambda: world)
    shares = []
    for rank in range(world):
        monkeypatch.setattr(blocks, "rank", lambda rank=rank: rank)
        shares.append(blocks.blocks_of_rank(total, 4))
    real = [list(block) for share in shares for block, real in share if real]
    assert sorted(real) == alone
    assert {len(share) for share in shares} == {-(-len(alone) // world)}
