"""A run goes on from any strategy's checkpoint under any other, on any number of ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from torch import Tensor
from torch.utils.data import DataLoader

from cyclip_pl import distributed
from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.files import read_weights
from cyclip_pl.checkpoints.io import CheckpointFiles
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.sharded import same
from tests.helpers.strategies import as_torchrun, strategy

pytestmark = pytest.mark.slow

STEPS = 4
SAVED = ("one", "ddp_2", "fsdp_2_full", "fsdp_2_sharded", "fsdp_3_sharded")


def _fit(
    name: str, folder: Path, source: Path | None = None, sharded: bool = False
) -> dict[str, Any]:
    """Train from the first step or from a checkpoint of step 2; what has been learned."""
    ranks = distributed.world_size()
    batch = small_batch("clip")
    # Other images in every step.
    moved = [replace(batch, images=batch.images.roll(step, -1)) for step in range(STEPS)]
    shares = [one.split(len(batch) // ranks)[distributed.rank()] for one in moved]
    trainer = L.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=strategy(name),
        precision="32-true",  # leaves a module in float64 as it is
        max_steps=STEPS,
        max_epochs=-1,
        gradient_clip_val=1.0,
        callbacks=[Last(folder, 2, sharded=sharded)],
        plugins=[CheckpointFiles()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    loader = DataLoader(shares[2 if source else 0 :], batch_size=None)
    trainer.fit(small_module("clip"), loader, ckpt_path=source, weights_only=True)
    distributed.objects_of_all(None)  # the first rank has written
    checkpoint = read_weights(folder / "last.ckpt")
    assert checkpoint["global_step"] == STEPS
    return {name: checkpoint[name] for name in ("state_dict", "optimizer_states", "lr_schedulers")}


def _on_two(folder: Path) -> dict[str, Any]:
    with as_torchrun():
        return {
            "ddp_2": _fit("ddp", folder / "ddp_2"),
            "fsdp_2_full": _fit("fsdp", folder / "fsdp_2_full"),
            "fsdp_2_sharded": _fit("fsdp", folder / "fsdp_2_sharded", sharded=True),
        }


def _resumed(folder: Path, names: tuple[str, ...], saved: tuple[str, ...]) -> dict[str, Any]:
    with as_torchrun():
        return {
            (name, distributed.world_size(), was): _fit(
                name, folder / f"{name}_from_{was}", folder / was / "step_2.ckpt"
            )
            for name in names
            for was in saved
        }


def _on_three(folder: Path) -> dict[str, Any]:
    with as_torchrun():
        _fit("fsdp", folder / "fsdp_3_sharded", sharded=True)
    return _resumed(folder, ("fsdp",), ("one", "fsdp_2_sharded"))


def _on_two_again(folder: Path) -> dict[str, Any]:
    few = ("one", "ddp_2", "fsdp_2_sharded")
    return _resumed(folder, ("ddp",), few) | _resumed(folder, ("fsdp",), SAVED)


def _most(a: Any, b: Any) -> float:
    """The largest difference of two nested containers of the same structure."""
    if isinstance(a, Tensor):
        return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
    if isinstance(a, dict):
        assert list(a) == list(b)
        return max([0.0, *(_most(a[key], b[key]) for key in a)])
    if isinstance(a, list):
        return max([0.0, *(_most(x, y) for x, y in zip(a, b, strict=True))])
    assert a == b
    return 0.0


def test_four_steps_are_two_and_two(tmp_path: Path) -> None:
    straight = {"one": _fit("auto", tmp_path / "one")}
    straight |= run_distributed(_on_two, 2, tmp_path)[0]
    resumed = run_distributed(_on_three, 3, tmp_path)[0]
    resumed |= run_distributed(_on_two_again, 2, tmp_path)[0]
    for saved in SAVED:
        source = tmp_path / saved / "step_2.ckpt"
        resumed["one", 1, saved] = _fit("auto", tmp_path / f"auto_{saved}", source)
    assert len(resumed) == 2 + 3 + 5 + 5
    for (name, ranks, saved), found in resumed.items():
        assert _most(found, straight["one"]) < 1e-10, (name, ranks, saved)
        if saved.startswith(name if ranks == 1 else f"{name}_{ranks}") and ranks < 3:
            assert same(found, straight[saved]), (name, saved)
    assert same(straight["fsdp_2_full"], straight["fsdp_2_sharded"])
    begun = read_weights(tmp_path / "one" / "step_2.ckpt")["state_dict"]
    assert _most(begun, straight["one"]["state_dict"]) > 1e-5
    for name in SAVED:
        main = tmp_path / name / "step_2.ckpt" / "whole.pt"
        assert main.is_file() == name.endswith("sharded")
