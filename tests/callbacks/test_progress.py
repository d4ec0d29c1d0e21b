import io

import torch
from rich.console import Console

from cyclip_pl.callbacks.progress import StepProgress


class _Trainer:
    log_every_n_steps = 2
    estimated_stepping_batches = 8
    callback_metrics = {
        "train/total": torch.tensor(1.5),
        "train/images_per_second": torch.tensor(123.4),
        "train/data_wait": torch.tensor(0.25),
        "data/skipped": torch.tensor(3.0),
    }

    def __init__(self):
        self.global_step = 0


def _shown(terminal, skipped=3.0):
    progress, trainer, output = StepProgress(lines_every=2), _Trainer(), io.StringIO()
    trainer.callback_metrics = {**trainer.callback_metrics, "data/skipped": torch.tensor(skipped)}
    progress._console = Console(file=output, force_terminal=terminal, width=120)
    progress.on_train_start(trainer, None)
    for step in range(1, 9):
        trainer.global_step = step
        progress.on_train_batch_end(trainer, None, None, None, 0)
    progress.teardown(trainer, None, "fit")
    return output.getvalue()


def test_lines_where_the_output_is_not_a_terminal() -> None:
    assert _shown(terminal=False).splitlines() == [
        "step 4  loss 1.500  img/s 123  wait 25%  skipped 3",
        "step 8  loss 1.500  img/s 123  wait 25%  skipped 3",
    ]
    assert "skipped" not in _shown(terminal=False, skipped=0.0)


def test_a_bar_over_steps_on_a_terminal() -> None:
    shown = _shown(terminal=True)
    assert "8/8" in shown
    assert "loss 1.500" in shown


def test_a_resumed_run_begins_at_its_step() -> None:
    progress, trainer, output = StepProgress(), _Trainer(), io.StringIO()
    trainer.global_step = 6
    progress._console = Console(file=output, force_terminal=True, width=120)
    progress.on_train_start(trainer, None)
    progress.teardown(trainer, None, "fit")
    assert "6/8" in output.getvalue()
