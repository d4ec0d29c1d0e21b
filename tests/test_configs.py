"""Strategies and packaging: what configs say that tests here cannot run."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate

from tests.helpers.composed import choices, composed


@pytest.mark.parametrize("name", choices("trainer"))
def test_strategies_are_lightnings(name) -> None:
    strategy = composed(f"trainer={name}").trainer.strategy
    if isinstance(strategy, str):
        assert strategy == "auto"
    else:
        from lightning.pytorch.strategies import Strategy

        assert isinstance(instantiate(strategy), Strategy)


def test_the_papers_recipe() -> None:
    config = composed(
        "data=webdataset",
        "data.train.shards='/data/cc3m/{00000..00331}.tar'",
        "trainer=ddp",
        "trainer.devices=8",
        "experiment=cc3m_rn50_cyclip",
    )
    assert config.encoder.architecture == "RN50"
    assert config.data.batch_size * config.trainer.devices == 128
    assert (config.objective.lambda_in_modal, config.objective.lambda_cross_modal) == (0.25, 0.25)
    assert config.trainer.max_epochs == 64
    assert config.optimizer.lr == 5e-4
    assert config.optimizer.weight_decay == 0.1
    assert config.scheduler.warmup_steps == 10_000
    # It measures the number that it promises, and keeps the checkpoint that is best by it.
    assert config.evaluation.zero_shot.datasets == ["cifar10", "cifar100", "imagenet"]
    assert config.evaluation.zero_shot.cadence == {"every_n_epochs": 1, "every_n_steps": None}
    assert config.callbacks.best.monitor == "imagenet/zero_shot/acc1"
    # What is typed wins over the experiment.
    assert composed("experiment=cc3m_rn50_cyclip", "optimizer.lr=1").optimizer.lr == 1


@pytest.mark.parametrize("name", choices("optimizer"))
def test_what_checkpoints_keep_of_an_optimiser_is_plain(name: str) -> None:
    if name == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    optimizer = instantiate(composed(f"optimizer={name}").optimizer)
    group = {"params": [torch.nn.Parameter(torch.zeros(2, 2))], "use_fallback": False}
    kept = optimizer([group]).state_dict()
    assert "omegaconf" not in repr({type(v) for v in kept["param_groups"][0].values()})
