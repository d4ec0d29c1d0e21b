from __future__ import annotations

import pytest

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.probes.dealt import dealt
from tests.helpers.distributed import run_distributed


def _refuse() -> int:
    raise ValueError("cannot")


def _on_a_rank() -> tuple[list[int], str]:
    found = dealt([lambda n=n: 10 * n + rank() for n in range(5)])
    try:
        dealt([lambda: 0, _refuse, lambda: 0])
    except ValueError as error:
        return found, str(error)
    return found, ""


@pytest.mark.slow
def test_each_task_is_done_once_and_an_error_reaches_all() -> None:
    assert dealt([]) == []
    assert _on_a_rank() == ([0, 10, 20, 30, 40], "cannot")
    assert run_distributed(_on_a_rank, 2) == [([0, 11, 20, 31, 40], "cannot")] * 2
    with pytest.raises(ValueError, match="^cannot$"):
        dealt([_refuse])
