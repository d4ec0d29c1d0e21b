"""Shorter texts against padded ones, in float64."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclip_pl.compilation import compile_parts
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.encoders.interface import text_length_of
from cyclip_pl.encoders.text_length import UpToPadding, UpToPooled, text_length
from cyclip_pl.training import train
from cyclip_pl.types import Batch
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.strategies import Trained, as_torchrun, trained
from tests.helpers.world import shrunk

CONTEXT = 24
SHORT, LONG = ["a cat", "a red apple on a tree"], ["one two three four five six seven eight nine"]


def _encoder(custom: bool = False, checkpointing: bool = False, **text: Any) -> DualEncoder:
    architecture = deepcopy(VIT) | ({"custom_text": True} if custom else {})
    architecture["text_cfg"] |= {"layers": 2, "context_length": CONTEXT, **text}
    torch.manual_seed(0)
    encoder = DualEncoder(architecture, image_size=32, gradient_checkpointing=checkpointing)
    # Positions matter as little as 0.01 of a fresh tower; here they cannot be overlooked.
    for name, parameter in encoder.named_parameters():
        if "positional" in name:
            nn.init.normal_(parameter)
    return encoder.double()


def _embedded(encoder: nn.Module, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Features, and the gradients of a function of them."""
    encoder.zero_grad()
    features = encoder.encode_text(tokens)  # type: ignore[operator]
    features.square().sin().sum().backward()
    named = encoder.named_parameters()
    return features.detach(), {n: p.grad.clone() for n, p in named if p.grad is not None}


def _same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"checkpointing": True},
        {"pool_type": "eos", "eos_id": 49407},
        {"custom": True},
        {"custom": True, "checkpointing": True, "proj_bias": True},
        {"custom": True, "proj_type": "none", "width": 12},
    ],
)
def test_a_causal_tower_gives_the_same_features_and_gradients(settings: dict[str, Any]) -> None:
    encoder = _encoder(**settings)
    tokens = encoder.tokenizer([*SHORT, *LONG])
    lengths = text_length_of(encoder)(tokens)
    assert lengths.tolist() == [4, 8, 11]
    expected = _embedded(encoder, tokens)
    for length in (11, 16, CONTEXT):
        _same(_embedded(encoder, tokens[:, :length]), expected)
    # One token fewer is one too few.
    assert not torch.allclose(encoder.encode_text(tokens[:, :10])[2], expected[0][2])


@pytest.mark.parametrize("pooler", ["mean_pooler", "cls_pooler", "cls_last_hidden_state_pooler"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_a_transformers_tower_masks_its_padding(kind: str, pooler: str) -> None:
    transformers = pytest.importorskip("transformers")
    from open_clip.hf_model import HFTextEncoder

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=50, intermediate_size=32, max_position_embeddings=40, **sizes
    )
    torch.manual_seed(0)
    tower = HFTextEncoder("", 12, config, pooler_type=pooler, proj_type="linear").double().eval()
    pad = config.pad_token_id
    tokens = torch.full((2, CONTEXT), pad)
    for row, length in enumerate((5, 9)):
        tokens[row, :length] = torch.arange(7, 7 + length)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = tower

        def encode_text(self, tokens: Tensor) -> Tensor:
            return self.text(tokens)

    model = Model()
    lengths = text_length(model)(tokens)
    assert lengths.tolist() == [5, 9]
    _same(_embedded(model, tokens[:, :9]), _embedded(model, tokens))
    tower.pooler = nn.Identity()
    with pytest.raises(ValueError, match="pools by Identity"):
        text_length(model)


def test_how_many_tokens_count() -> None:
    tokens = torch.tensor([[1, 9, 5, 0, 0], [1, 2, 3, 4, 9], [1, 9, 9, 9, 9], [9, 0, 2, 0, 0]])
    assert UpToPooled()(tokens).tolist() == [2, 5, 2, 1]
    assert UpToPooled(eos=3)(tokens).tolist() == [1, 3, 1, 1]  # position 0 is pooled without one
    assert UpToPadding(0)(tokens).tolist() == [3, 5, 5, 3]
    assert UpToPadding(0)(torch.zeros(1, 5)).tolist() == [5]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ({"no_causal_mask": True}, "attends to padding"),
        ({"no_causal_mask": True, "pool_type": "last"}, "attends to padding"),
        ({"pool_type": "last"}, "pools by position .last."),
        ({"embed_cls": True}, "class token behind the last position"),
    ],
)
def test_a_tower_that_looks_at_all_tokens_is_refused(text: dict[str, Any], problem: str) -> None:
    encoder = _encoder(custom=True, **text)
    with pytest.raises(ValueError, match=f"^data.text=variable: .* {problem}.*") as e:
        text_length_of(encoder)
    assert str(e.value).endswith("; set data.text=fixed") and "\n" not in str(e.value)
    # And the refusal is right: what is cut off matters.
    tokens = encoder.tokenizer(SHORT)
    whole = encoder.encode_text(tokens)
    try:
        shorter = encoder.encode_text(tokens[:, :16])
    except RuntimeError:
        return  # open_clip takes no shorter tokens
    assert not torch.allclose(shorter, whole)


def test_a_tokenizer_that_pads_at_the_start_is_refused() -> None:
    encoder = _encoder()
    inner = encoder.tokenizer
    encoder.tokenizer = lambda texts: inner(texts).roll(CONTEXT - 3, dims=1)
    with pytest.raises(ValueError, match="does not pad texts at their end; set data.text=fixed"):
        text_length_of(encoder)


def test_an_encoder_that_does_not_say_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder._target_=torch.nn.*Identity has no text_length"):
        text_length_of(nn.Identity())


def _cut(batch: Batch, lengths: list[int]) -> Batch:
    """Texts of these lengths in a context of 24; what lies behind them is padding."""
    texts = torch.zeros(1, len(batch), CONTEXT, dtype=torch.int64)
    for row, length in enumerate(lengths):
        texts[0, row, :length] = torch.arange(300 + row, 300 + row + length)
        texts[0, row, length - 1] = 49407
    return Batch(batch.images, texts, batch.augmentation)


LENGTHS = [4, 5, 6, 7, 8, 8, 12, 13, 14, 15, 16, 16]


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


@pytest.mark.slow
def test_micro_batches_take_shorter_texts() -> None:
    batch = _cut(small_batch(), LENGTHS)
    steps = []
    for microbatch, length in ((None, CONTEXT), (5, 16)):
        module = small_module(microbatch=microbatch, context_length=CONTEXT)
        shorter = Batch(batch.images, batch.texts[..., :length])
        terms = module.objective(module.embed(shorter))
        terms["total"].backward()
        steps.append((terms["total"].detach(), _gradients(module)))
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-7, atol=1e-11)


class _Variable(Batch):
    """Its shares of ranks have texts as long as each needs."""

    def split(self, size: int) -> list[Batch]:
        shares = super().split(size)
        cut = zip(shares, (8, 16), strict=True)
        return [replace(share, texts=share.texts[..., :length]) for share, length in cut]


def _under_strategies() -> list[Trained]:
    whole = _cut(small_batch(), LENGTHS)
    batch = _Variable(whole.images, whole.texts)
    with as_torchrun():
        return [
            trained(small_module(microbatch=pieces, context_length=CONTEXT), [batch] * 2, name)
            for name, pieces in (("ddp", None), ("fsdp", None), ("fsdp", 4))
        ]


@pytest.mark.slow
def test_ranks_may_have_texts_of_different_length() -> None:
    """The steps of one process on padded texts, under every strategy."""
    batch = _cut(small_batch(), LENGTHS)
    expected = trained(small_module(context_length=CONTEXT), [batch] * 2)
    for rank in run_distributed(_under_strategies, 2):
        for found in rank:
            for step, wanted in zip(found.steps, expected.steps, strict=True):
                assert step == pytest.approx(wanted, rel=1e-9, abs=1e-12)
            torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_whole_run_has_the_same_weights(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    encode = DualEncoder.encode_text

    def spy(self: DualEncoder, tokens: Tensor) -> Tensor:
        lengths.append(tokens.shape[1])
        return encode(self, tokens)

    monkeypatch.setattr(DualEncoder, "encode_text", spy)
    weights = []
    for name, length in (("fixed", 16), ("variable", 8)):
        lengths.clear()
        quick = ["evaluation=[]", "callbacks.best.monitor=null", "trainer.precision=64-true"]
        typed = [one for one in shrunk(world) if not one.startswith("evaluation.")]
        config = composed(*typed, *quick, f"data.text={name}", run_dir=tmp_path / name)
        train(config)
        assert lengths == [length] * 4
        path = tmp_path / name / "checkpoints/last.ckpt"
        weights.append(torch.load(path, weights_only=True)["state_dict"])
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_compiled_lengths_are_traced_twice_and_not_more() -> None:
    """The first length as it is, then one graph for all lengths, and the whole context."""
    traced = []

    def backend(graph: Any, _: Any) -> Any:
        traced.append(graph)
        return graph.forward

    batch = _cut(small_batch(), LENGTHS)
    expected = small_module(context_length=48).encoder(batch).text
    encoder = small_module(context_length=48).encoder
    torch.compiler.reset()
    compile_parts([encoder], {"backend": backend, "fullgraph": True})
    graphs = []
    for length in (16, 24, 32, 40, 16, 48):
        texts = nn.functional.pad(batch.texts, (0, 48 - CONTEXT))[..., :length]
        _same(encoder(Batch(batch.images, texts)).text, expected)
        graphs.append(len(traced))
    torch.compiler.reset()
    assert graphs == [1, 2, 2, 2, 2, 3]
