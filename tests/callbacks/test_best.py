import pytest
import torch

from cyclip_pl.callbacks.best import Best


class _Trainer:
    def __init__(self):
        self.callback_metrics = {}
        self.saves = 0

    def save_checkpoint(self, path, weights_only):
        assert weights_only
        assert path.name == "best.ckpt"
        self.saves += 1


def _saves(best, values):
    trainer = _Trainer()
    saves = []
    for value in values:
        if value is not None:
            trainer.callback_metrics["a/b/c"] = torch.tensor(value)
        best.on_train_batch_end(trainer)
        saves.append(trainer.saves)
    return saves


def test_only_improvements_are_saved_and_a_missing_figure_is_waited_for(tmp_path):
    assert _saves(Best(tmp_path, "a/b/c"), [None, 0.1, 0.1, 0.3, 0.2]) == [0, 1, 1, 2, 2]
    assert _saves(Best(tmp_path, "a/b/c", "min"), [0.3, 0.4, 0.2]) == [1, 1, 2]
    assert _saves(Best(tmp_path, None), [0.3, 0.4]) == [0, 0]


def test_a_resumed_run_knows_the_best_so_far(tmp_path):
    first = Best(tmp_path, "a/b/c")
    _saves(first, [0.5])
    resumed = Best(tmp_path, "a/b/c")
    resumed.load_state_dict(first.state_dict())
    assert _saves(resumed, [0.4, 0.6]) == [0, 1]


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="mode must be max or min, got maximum"):
        Best(tmp_path, "a/b/c", "maximum")
