"""The average under every strategy is that of one process, and so are its checkpoints."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from cyclip_pl.callbacks.ema import EMA
from cyclip_pl.callbacks.evaluated import as_evaluated
from cyclip_pl.compilation import compile_parts
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.sharding import gathered
from tests.helpers.composed import composed
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.strategies import as_torchrun, remember, trained

NAME, DECAY, HALF, WHOLE = "siglip", 0.5, 2, 4
PARTS = ("state_dict", "current_model_state")
STRATEGIES = ("ddp", "fsdp")


class Saves(L.Callback):
    """Saves halfway and at the end; notes each step's weights and what an evaluation sees."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.weights: list[dict[str, Tensor]] = []
        self.seen: list[Tensor] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *unused: Any) -> None:
        if trainer.global_step in (HALF, WHOLE):
            trainer.save_checkpoint(f"{self.stem}_{trainer.global_step}.ckpt")
        state = pl_module.state_dict()
        self.weights.append({name: gathered(x).clone() for name, x in state.items()})
        batch = small_batch(NAME)
        with as_evaluated(trainer):
            image_ND = pl_module.embed(batch).image[0]
        with as_evaluated(trainer, raw=True):
            raw_ND = pl_module.embed(batch).image[0]
        assert (trainer.global_step == 1) == torch.equal(image_ND, raw_ND)
        self.seen.append(image_ND)


Runs = tuple[Path, Saves, list[Any]]


def _module() -> ContrastiveModule:
    module = small_module(NAME)
    remember(module)
    # A rate at which steps change the weights.
    module.make_optimizer = partial(instantiate(composed().optimizer), lr=0.01)
    module.make_scheduler = partial(instantiate(composed().scheduler), warmup_steps=1)
    return module


def _run(
    stem: Path,
    strategy: str = "auto",
    resume: Path | None = None,
    module: ContrastiveModule | None = None,
) -> Saves:
    saves, batches = Saves(str(stem)), [small_batch(NAME)] * WHOLE
    callbacks = [EMA(DECAY), saves]
    trained(module or _module(), batches, strategy, callbacks=callbacks, resume=resume)
    return saves


def _on_rank(folder: Path) -> dict[str, list[Tensor]]:
    with as_torchrun():
        seen = {name: _run(folder / name, name).seen for name in STRATEGIES}
        for name in STRATEGIES:
            _run(folder / f"{name}_from_{name}", name, folder / f"{name}_{HALF}.ckpt")
            _run(folder / f"{name}_from_auto", name, folder / f"auto_{HALF}.ckpt")
        return seen


def _saved(stem: Path) -> dict[str, Any]:
    return torch.load(f"{stem}_{WHOLE}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A folder of checkpoints; the run in one process; what evaluations saw on two ranks."""
    folder = tmp_path_factory.mktemp("ema")
    one = _run(folder / "auto")
    ranks = run_distributed(_on_rank, 2, folder)
    for name in ("auto", *STRATEGIES):
        _run(folder / f"auto_from_{name}", resume=folder / f"{name}_{HALF}.ckpt")
    return folder, one, ranks


@pytest.mark.slow
def test_average_and_weights_are_those_of_one_process(runs: Runs) -> None:
    folder, one, ranks = runs
    wanted = _saved(folder / "auto")
    assert len(one.weights) == WHOLE
    for name, x in wanted["state_dict"].items():
        average = one.weights[0][name]
        for of_step in one.weights[1:]:
            average = DECAY * average + (1 - DECAY) * of_step[name]
        torch.testing.assert_close(x, average, rtol=0, atol=1e-12)
    for name in STRATEGIES:
        found = _saved(folder / name)
        for part in PARTS:
            torch.testing.assert_close(found[part], wanted[part], rtol=0, atol=1e-10)
        assert found["scale"] == pytest.approx(wanted["scale"], abs=1e-10)
        assert found["bias"] == pytest.approx(wanted["bias"], abs=1e-10)
        for rank in ranks:
            torch.testing.assert_close(rank[name], one.seen, rtol=0, atol=1e-9)
    of_average = wanted["state_dict"]["objective.logit_scale"].exp().item()
    assert wanted["scale"] == pytest.approx(of_average, rel=1e-12)


@pytest.mark.slow
def test_a_compiled_module_sees_the_average(runs: Runs, tmp_path: Path) -> None:
    module = _module()
    compile_parts([module.encoder, module.projector], {"backend": "eager"})
    compiled = _run(tmp_path / "compiled", module=module)
    torch.testing.assert_close(compiled.seen, runs[1].seen, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["auto", *STRATEGIES])
def test_a_resume_goes_on_with_both(runs: Runs, first: str) -> None:
    folder = runs[0]
    for then in {first, "auto"} if first != "auto" else {"auto", *STRATEGIES}:
        found = _saved(folder / f"{then}_from_{first}")
        wanted = _saved(folder / first)
        exact = 0.0 if then == first else 1e-10
        for part in PARTS:
            torch.testing.assert_close(found[part], wanted[part], rtol=0, atol=exact)
