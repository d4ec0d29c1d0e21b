"""The weights of the consistency terms rise, as a function of the step alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.callbacks.lambda_warmup import LambdaWarmup
from cyclip_pl.losses.consistency import consistency_terms
from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.composite import Composite
from cyclip_pl.objectives.cyclip import CyCLIP
from cyclip_pl.objectives.cysiglip import CySigLIP
from cyclip_pl.training import train
from cyclip_pl.types import Embeddings
from tests.helpers.composed import composed
from tests.helpers.world import shrunk


class _Module:
    def __init__(self, objective: Any) -> None:
        self.objective = objective

    def log(self, *unused: Any, **more: Any) -> None: ...


class _Trainer:
    log_every_n_steps = 10**9
    global_step = 0


def _embeddings() -> Embeddings:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 1, 6, 4, generator=generator, dtype=torch.float64)
    return Embeddings(*normalize(rows, dim=-1))


@pytest.mark.parametrize("kind", [CyCLIP, CySigLIP])
def test_step_by_step(kind: type) -> None:
    objective, embeddings = kind(0.3, 0.2), _embeddings()
    composite = Composite({"a": objective, "clip": CLIP()}, {"a": 1.0, "clip": 1.0})
    trainer, module, callback = _Trainer(), _Module(composite), LambdaWarmup(steps=4)
    callback.setup(trainer, module, "fit")
    terms = objective(embeddings)
    in_modal, cross_modal = consistency_terms(embeddings.image[0], embeddings.text[0])
    penalty = 0.3 * in_modal + 0.2 * cross_modal
    rest = terms["total"] - penalty
    for step, share in [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (9, 1.0), (2, 0.5)]:
        trainer.global_step = step
        callback.on_train_batch_start(trainer)
        torch.testing.assert_close(objective(embeddings)["total"], rest + share * penalty)
        # Between training steps, as for a validation loss, the weights are whole.
        callback.on_train_batch_end(trainer, module)
        assert torch.equal(objective(embeddings)["total"], terms["total"])


def test_an_objective_without_the_terms_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^callbacks\.lambda_warmup: CLIP has no .*; set callb"):
        LambdaWarmup().setup(_Trainer(), _Module(CLIP()), "fit")
    with pytest.raises(ValueError, match=r"^callbacks\.lambda_warmup\.steps=0: must be"):
        LambdaWarmup(steps=0)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_it(world: Path, tmp_path: Path) -> None:
    steady = ["scheduler.warmup_steps=0", "scheduler.final_fraction=1", "evaluation=[]"]
    warm = ["callbacks=[default,lambda_warmup]", "callbacks.lambda_warmup.steps=8"]
    plain = [one for one in shrunk(world) if not one.startswith(("trainer.max", "evaluation"))]

    def run(name: str, steps: int, *more: str) -> dict[str, torch.Tensor]:
        typed = [*plain, *steady, *warm, f"trainer.max_steps={steps}", *more]
        train(composed(*typed, run_dir=tmp_path / name))
        return torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)[
            "state_dict"
        ]

    whole = run("whole", 4)
    run("part", 2)
    again = run("part", 4, "resume=auto")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    other = run("other", 4, "callbacks.lambda_warmup.steps=1")
    assert not all(torch.equal(whole[name], other[name]) for name in whole)
    [log] = (tmp_path / "whole").rglob("metrics.csv")
    with log.open() as lines:
        rows = [row["train/lambda_strength"] for row in csv.DictReader(lines)]
    assert [float(one) for one in rows if one] == [0, 0.125, 0.25, 0.375]
