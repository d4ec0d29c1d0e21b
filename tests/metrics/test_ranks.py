"""Every metric on one, two and three ranks: the same to the last digit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cyclip_pl.distributed import rank, world_size
from tests.helpers.distributed import run_distributed
from tests.helpers.metric_cases import CASES, blocks, fed, plain, rows

SIZES = (45, 20, 5)  # of two ranks one has more blocks; of three one has fewer, or none at all


def _values() -> dict[tuple[str, int], Any]:
    found = {}
    for images in SIZES:
        for name in CASES:
            mine = blocks(images)[rank() :: world_size()]
            if name in ("top_k", "retrieval", "inconsistency"):
                mine = mine or [slice(0, 0)]  # an update without rows is as good as none
            metric = fed(name, rows(images), mine)
            found[name, images] = plain(metric.compute())
            if name == "retrieval":
                ranks = metric.image_ranks.tolist(), metric.text_ranks.tolist()
                found["own ranks", images] = ranks
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_every_metric_is_that_of_one_process(ranks: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = _values()
    finally:
        torch.set_num_threads(threads)
    of_ranks = run_distributed(_values, ranks)
    for key, expected in alone.items():
        if key[0] != "own ranks":
            for of_rank in of_ranks:
                assert of_rank[key] == expected, key
    for images in SIZES:
        expected_N, expected_M = alone["own ranks", images]
        for number, of_rank in enumerate(of_ranks):
            mine = blocks(images)[number::ranks]
            own_N = [n for block in mine for n in range(block.start, block.stop)]
            image_of_text_M = rows(images).image_of_text_M.tolist()
            own_M = [m for n in own_N for m, of in enumerate(image_of_text_M) if of == n]
            assert of_rank["own ranks", images] == (
                [expected_N[n] for n in own_N],
                [expected_M[m] for m in own_M],
            )
