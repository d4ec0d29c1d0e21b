from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.callbacks.last import Last
from tests.helpers.saving import SavingTrainer, kill_while_saving


@pytest.mark.slow
def test_kills_while_saving_leave_a_whole_checkpoint_and_no_orphan_for_long(tmp_path: Path) -> None:
    steps = kill_while_saving(tmp_path, kills=24, size=2_000_000, seconds=0.1)
    assert steps == sorted(steps)
    left = [path.name for path in tmp_path.glob(".*.partial")]
    assert len(left) <= 1
    trainer = SavingTrainer()
    trainer.global_step = steps[-1] + 1
    Last(tmp_path, every_n_steps=1).save(trainer)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"last.ckpt", f"step_{steps[-1]}.ckpt"}
