import pytest

from cyclip_pl.callbacks.last import Last


class _Trainer:
    world_size = 1

    def __init__(self):
        self.global_step = 0
        self.saved = []

    def save_checkpoint(self, path):
        self.saved.append((self.global_step, path.name))


def test_every_so_many_steps_and_once_at_the_end(tmp_path) -> None:
    trainer, last = _Trainer(), Last(tmp_path, every_n_steps=2)
    for step in range(1, 6):
        trainer.global_step = step
        last.on_train_batch_end(trainer)
    last.on_train_end(trainer, None)
    last.on_train_end(trainer, None)
    assert trainer.saved == [(2, "last.ckpt"), (4, "last.ckpt"), (5, "last.ckpt")]


def test_an_interrupt_saves_and_a_failure_does_not(tmp_path, capsys) -> None:
    trainer, last = _Trainer(), Last(tmp_path, every_n_steps=10)
    trainer.global_step = 3
    last.on_exception(trainer, None, ValueError("the loss is nan"))
    assert trainer.saved == []
    last.on_exception(trainer, None, KeyboardInterrupt())
    assert trainer.saved == [(3, "last.ckpt")]
    assert capsys.readouterr().out == (
        f"interrupted at step 3; to go on: resume={tmp_path}/last.ckpt\n"
    )


def test_one_interrupted_rank_of_several_does_not_wait_for_the_others(tmp_path) -> None:
    trainer, last = _Trainer(), Last(tmp_path, every_n_steps=10)
    trainer.world_size = 2
    last.on_exception(trainer, None, KeyboardInterrupt())
    assert trainer.saved == []


def test_less_than_a_step_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="every_n_steps=0: must be a whole number of at least 1"):
        Last(tmp_path, every_n_steps=0)
