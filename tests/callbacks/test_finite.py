import pytest
import torch

from cyclip_pl.callbacks.finite import StopWhenNotFinite


class _Trainer:
    log_every_n_steps = 10

    def __init__(self, step):
        self.global_step = step


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_it_stops_when_the_loss_is_looked_at(value) -> None:
    outputs = {"loss": torch.tensor(value)}
    StopWhenNotFinite().on_train_batch_end(_Trainer(9), None, outputs, None, 0)
    with pytest.raises(ValueError, match="the loss is (nan|inf) at step 10; lower optimizer.lr"):
        StopWhenNotFinite().on_train_batch_end(_Trainer(10), None, outputs, None, 0)


def test_a_finite_loss_goes_on() -> None:
    StopWhenNotFinite().on_train_batch_end(_Trainer(10), None, {"loss": torch.tensor(1.0)}, None, 0)
