"""Micro-batches against the whole batch, and against as many ranks where a BatchNorm sees them."""

from __future__ import annotations

import csv
import weakref
from typing import Any

import pytest
import torch
from omegaconf import open_dict
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from cyclip_pl import distributed
from cyclip_pl.microbatch import embed_in_microbatches
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.training import train
from cyclip_pl.types import Batch, Embeddings
from tests.helpers.architectures import VIT
from tests.helpers.composed import choices, composed
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow

OBJECTIVES = choices("objective")
CASES = [*((name, "vit") for name in OBJECTIVES), ("cyclip", "resnet"), ("slip", "timm")]
SAMPLES = 12


Step = tuple[dict[str, Tensor], dict[str, Tensor]]


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def _step(module: ContrastiveModule, batch: Batch) -> Step:
    """Terms, and the gradients of all parameters that have one."""
    terms = module.objective(module.embed(batch))
    terms["total"].backward()
    return {name: value.detach() for name, value in terms.items()}, _gradients(module)


def _assert_equal(actual: Step, expected: Step) -> None:
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(actual[1], expected[1], rtol=1e-7, atol=1e-11)


def _mean(ranks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: sum(rank[name] for rank in ranks) / len(ranks) for name in ranks[0]}


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


def test_a_batch_is_cut_evenly_and_not_copied() -> None:
    batch = small_batch("uniclip", 11)
    pieces = batch.split(4)
    assert [len(piece) for piece in pieces] == [4, 4, 3]
    assert [len(piece) for piece in small_batch(n=9).split(4)] == [3, 3, 3]
    assert [len(piece) for piece in small_batch(n=4).split(4)] == [4]
    for name in ("images", "texts", "augmentation"):
        whole = getattr(batch, name)
        cut = [getattr(piece, name) for piece in pieces]
        assert torch.equal(torch.cat(cut, dim=1), whole)
        assert {x.untyped_storage().data_ptr() for x in cut} == {whole.untyped_storage().data_ptr()}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_the_large_batchs_for_every_objective(name) -> None:
    """11 samples at most 5 at a time: pieces of 4, 4 and 3.

    A BatchNorm normalises by what it remembers here; by its batch, it is compared with ranks below.
    """
    batch = small_batch(name, 11)
    module, in_pieces = small_module(name), small_module(name, microbatch=5)
    for norm in _batch_norms(module) + _batch_norms(in_pieces):
        norm.eval()
    expected = _step(module, batch)
    assert expected[1].keys() == dict(module.named_parameters()).keys()
    _assert_equal(_step(in_pieces, batch), expected)


class _Loss(nn.Module):
    """What Lightning's strategies wrap: one forward from batch to loss."""

    def __init__(self, module: ContrastiveModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        return self.module.objective(self.module.embed(batch))["total"]


def _under_ddp(static_graph: bool) -> tuple[dict[str, Tensor], int]:
    """Gradients after the second step, and how many numbers were reduced in both."""
    module = small_module("slip", "timm", SAMPLES // 4)
    wrapped = DistributedDataParallel(
        _Loss(module), gradient_as_bucket_view=True, static_graph=static_graph
    )
    reduced = []

    def reduce(state, bucket):
        reduced.append(bucket.buffer().numel())
        return allreduce_hook(None, bucket)

    wrapped.register_comm_hook(None, reduce)
    for _ in range(2):
        module.zero_grad()
        wrapped(_of_rank(small_batch("slip"))).backward()
    return _gradients(module), sum(reduced)


def _of_rank(batch: Batch) -> Batch:
    return batch.split(len(batch) // distributed.world_size())[distributed.rank()]


def _on_rank():
    """Steps on whole shares; on shares of two micro-batches; these under DDP."""
    whole, pieces = (
        [
            _step(small_module(name, architecture, microbatch), _of_rank(small_batch(name)))
            for name, architecture in CASES
        ]
        for microbatch in (None, SAMPLES // 4)
    )
    return whole, pieces, [_under_ddp(static_graph) for static_graph in (False, True)]


@pytest.fixture(scope="module")
def ranks() -> list[Any]:
    return run_distributed(_on_rank, 2)


@pytest.mark.parametrize("pieces", [2, 4])
def test_micro_batches_are_as_many_ranks(ranks, pieces) -> None:
    """Two are two ranks; four are two ranks of two; with a BatchNorm in tower or head or none."""
    assert sum(bool(_batch_norms(small_module(*case))) for case in CASES) >= 5
    for case, (name, architecture) in enumerate(CASES):
        steps = [rank[0 if pieces == 2 else 1][case] for rank in ranks]
        expected = steps[0][0], _mean([gradients for _, gradients in steps])
        module = small_module(name, architecture, SAMPLES // pieces)
        _assert_equal(_step(module, small_batch(name)), expected)


@pytest.mark.parametrize("static_graph", [False, True])
def test_ddp_reduces_each_gradient_once(ranks, static_graph) -> None:
    module = small_module("slip", "timm", SAMPLES // 4)
    _, expected = _step(module, small_batch("slip"))
    for rank in ranks:
        gradients, reduced = rank[2][static_graph]
        torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-11)
        assert reduced == 2 * sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("architecture", ["resnet", "timm"])
def test_running_statistics_move_once_a_piece(architecture) -> None:
    module = small_module("slip", architecture, microbatch=4)
    one_by_one = small_module("slip", architecture)
    batch = small_batch("slip")
    for piece in batch.split(4):
        one_by_one.embed(piece)
    _step(module, batch)
    assert len(_batch_norms(module)) > 2
    for norm, expected in zip(_batch_norms(module), _batch_norms(one_by_one), strict=True):
        assert norm.num_batches_tracked == 3
        assert norm.track_running_stats
        torch.testing.assert_close(dict(norm.named_buffers()), dict(expected.named_buffers()))


def _in_one_graph(module: ContrastiveModule, batch: Batch, size: int) -> Tensor:
    """The loss of micro-batches whose activations are all kept."""
    rows = []
    for piece in batch.split(size):
        rows.append(module.embed(piece))
        # It would add up the pieces' gradients in bfloat16.
        torch.clear_autocast_cache()
    image = torch.cat([x.image for x in rows], dim=1)
    text = torch.cat([x.text for x in rows], dim=1)
    return module.objective(Embeddings(image, text))["total"]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{"patch_dropout": 0.5}, {"gradient_checkpointing": True}, {"lock_image": True}],
    ids=lambda settings: next(iter(settings)),
)
def test_both_passes_see_the_same(settings, autocast) -> None:
    """Draws, precision and default dtype; none of them is as it was when gradients are wanted."""
    batch = small_batch()
    results = []
    for microbatch in (None, 4):
        module = small_module(microbatch=microbatch, **settings)
        module = module.float() if autocast else module
        torch.manual_seed(3)
        # As Lightning does: around the forward, not around backward.
        torch.set_default_dtype(torch.float32 if autocast else torch.float64)
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                if microbatch is None:
                    loss = _in_one_graph(module, batch, 4)
                else:
                    loss = module.objective(module.embed(batch))["total"]
        finally:
            torch.set_default_dtype(torch.float32)
        torch.rand(3)
        (1024 * loss).backward()
        results.append((loss.detach(), _gradients(module), torch.rand(1)))
    expected, actual = results
    assert torch.equal(actual[0], expected[0])
    tolerances = {"rtol": 1e-4, "atol": 1e-3} if autocast else {"rtol": 1e-7, "atol": 1e-8}
    torch.testing.assert_close(actual[1], expected[1], **tolerances)
    assert torch.equal(actual[2], expected[2]), "the second pass leaves the random state alone"


class _Sum(nn.Module):
    """Its two parameters get one gradient, in one tensor."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.one, self.other = (nn.Parameter(torch.zeros(3, 32, 32, dtype=dtype)) for _ in "12")

    def forward(self, batch: Batch) -> Embeddings:
        return Embeddings(batch.images + (self.one + self.other), batch.texts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_pieces_add_up(dtype) -> None:
    """512 in bfloat16 + 1 is 512."""
    part = _Sum(dtype)
    rows = embed_in_microbatches(part, [part], small_batch(n=600), 1)
    rows.image.sum().backward()
    assert part.one.grad.dtype == dtype
    for parameter in part.parameters():
        assert torch.equal(parameter.grad, torch.full_like(parameter, 600))


class _Kept:
    def __init__(self, x: Tensor) -> None:
        self.x = x


class _Saved:
    """Bytes that autograd keeps for backward, parameters apart."""

    def __init__(self, module: nn.Module) -> None:
        self.parameters = {p.data_ptr() for p in module.parameters()}
        self.live = self.peak = 0

    def pack(self, x: Tensor) -> _Kept:
        kept = _Kept(x)
        if x.data_ptr() not in self.parameters:
            self._count(x.nbytes)
            weakref.finalize(kept, self._count, -x.nbytes)
        return kept

    def _count(self, change: int) -> None:
        self.live += change
        self.peak = max(self.peak, self.live)


def _peak(samples: int, microbatch: int | None) -> int:
    module = small_module(microbatch=microbatch)
    saved = _Saved(module)
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda kept: kept.x):
        _step(module, small_batch(n=samples))
    assert saved.live == 0
    return saved.peak


def test_activations_are_those_of_a_micro_batch() -> None:
    small = _peak(4, None)
    assert _peak(40, None) > 8 * small
    assert _peak(40, 4) < 1.1 * small


def _trained(world, folder, *overrides):
    config = composed(*shrunk(world), "trainer.precision=64-true", *overrides, run_dir=folder)
    with open_dict(config):
        config.encoder.architecture = VIT
    train(config)
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [
        [float(row[f"train/{name}"]) for name in ("total", "scale", "gradient_norm")]
        for row in rows
        if row["train/total"]
    ]
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return torch.tensor(steps), checkpoint["state_dict"]


def test_a_training_is_that_of_the_large_batch_step_for_step(world, tmp_path) -> None:
    steps, weights = _trained(world, tmp_path / "whole")
    assert len(steps) == 4
    assert len(steps[:, 0].unique()) == 4
    small_steps, small_weights = _trained(world, tmp_path / "small", "microbatch=7")
    torch.testing.assert_close(small_steps, steps, rtol=1e-6, atol=0)
    torch.testing.assert_close(small_weights, weights, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("microbatch", [0, -1, 2.5, True, "8"])
def test_what_is_no_size_is_refused(microbatch) -> None:
    with pytest.raises(
        ValueError, match="microbatch=.*: must be null or a whole number of at least 1"
    ):
        small_module(microbatch=microbatch)


def test_an_experiment_may_set_it(tmp_path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "large.yaml").write_text("# @package _global_\nmicrobatch: 8\n")
    chosen = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=large"]
    assert composed().microbatch is None
    assert composed(*chosen).microbatch == 8
    assert composed(*chosen, "microbatch=4").microbatch == 4
