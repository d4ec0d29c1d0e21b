import logging

import pytest
import torch

from cyclip_pl.callbacks.collapse import WarnOfCollapse


class _Trainer:
    log_every_n_steps = 10
    is_global_zero = True

    def __init__(self) -> None:
        self.global_step = 0
        self.callback_metrics = {"train/total": torch.tensor(0.0)}


def _warnings(values, caplog, name="train/cluster_information") -> list[int]:
    """Steps at which `values`, one every ten steps, make it warn."""
    trainer, callback, steps = _Trainer(), WarnOfCollapse(least=0.05, patience=3), []
    for value in values:
        for _ in range(10):
            trainer.global_step += 1
            trainer.callback_metrics[name] = torch.tensor(value)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                callback.on_train_batch_end(trainer, None, None, None, 0)
            steps += [trainer.global_step] * len(caplog.records)
    return steps


def test_it_warns_once_after_its_patience(caplog) -> None:
    assert _warnings([0.0] * 6, caplog) == [30]
    assert _warnings([0.0] * 6, caplog, "train/nclip/cluster_information") == [30]


def test_a_value_above_starts_the_count_again(caplog) -> None:
    assert _warnings([0.0, 0.0, 1.0, 0.0, 0.0], caplog) == []
    assert _warnings([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], caplog) == [40, 80]


def test_it_names_what_to_change(caplog) -> None:
    trainer = _Trainer()
    trainer.global_step = 10
    trainer.callback_metrics["train/cluster_information"] = torch.tensor(0.01)
    WarnOfCollapse(patience=1).on_train_batch_end(trainer, None, None, None, 0)
    assert "cluster_information is 0.010 nats at step 10" in caplog.text
    assert "projector.temperature" in caplog.text


def test_objectives_without_clusters_are_ignored(caplog) -> None:
    assert _warnings([0.0] * 6, caplog, "train/contrastive") == []


def test_a_patience_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="callbacks.collapse.patience=0: must be a whole number"):
        WarnOfCollapse(patience=0)
