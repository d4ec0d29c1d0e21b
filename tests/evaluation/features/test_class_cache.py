"""Class embeddings on disk: found again by an equal model and equal prompts, and by no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cyclip_pl.evaluation.features.classifier import Classifier
from cyclip_pl.evaluation.features.store import FeatureStore
from tests.helpers.distributed import run_distributed
from tests.helpers.models import FeatureNet

NAMES = ["cat", "dog", "cat"]
PROMPTS = [["a cat", "the cat"], ["a dog", "the dog"], ["a cat", "the cat"]]


class TextNet(FeatureNet):
    """Counts the texts that it encodes."""

    texts = 0

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        self.texts += len(texts)
        return super().encode_text(texts)


def classes(folder: Path, model: FeatureNet, prompts: Sequence[Sequence[str]] = PROMPTS):
    return FeatureStore(model, batch_size=2, cache=folder).classifier(NAMES, prompts)


def same(one: Classifier, other: Classifier) -> bool:
    return all(torch.equal(value, vars(other)[name]) for name, value in vars(one).items())


def test_a_second_run_encodes_one_text_and_finds_the_same(tmp_path: Path) -> None:
    first, again = TextNet(), TextNet()
    found = classes(tmp_path, first)
    assert same(found, FeatureStore(TextNet(), batch_size=2).classifier(NAMES, PROMPTS))
    assert same(found, classes(tmp_path, again))
    assert (first.texts, again.texts) == (1 + 4, 1)
    assert len(list(tmp_path.iterdir())) == 1


def _weight(model: TextNet) -> None:
    with torch.no_grad():
        model.text.weight[5] += 1e-6


def _tokenizer(model: TextNet) -> None:
    tokens = model.tokenizer
    model.tokenizer = lambda texts: tokens([text.upper() for text in texts])  # type: ignore


def _attribute(model: TextNet) -> None:
    encode = model.encode_text
    model.encode_text = lambda texts: -encode(texts)  # type: ignore


@pytest.mark.parametrize("change", [_weight, _tokenizer, _attribute])
def test_another_model_finds_nothing(tmp_path: Path, change: Callable[[TextNet], None]) -> None:
    classes(tmp_path, TextNet())
    model = TextNet()
    change(model)
    found = classes(tmp_path, model)
    assert len(list(tmp_path.iterdir())) == 2
    assert same(found, FeatureStore(model, batch_size=2).classifier(NAMES, PROMPTS))


def test_other_prompts_find_nothing(tmp_path: Path) -> None:
    classes(tmp_path, TextNet())
    classes(tmp_path, TextNet(), [[*texts, "more"] for texts in PROMPTS])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_computed_again(tmp_path: Path, caplog) -> None:
    found = classes(tmp_path, TextNet())
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert same(found, classes(tmp_path, TextNet()))
    assert "is damaged" in caplog.text
    caplog.clear()
    assert same(found, classes(tmp_path, TextNet())) and not caplog.text


def _of_rank(folder: str) -> Tensor:
    return classes(Path(folder), TextNet()).class_KD


def test_two_ranks_share_a_file_with_one(tmp_path: Path) -> None:
    one, two = run_distributed(_of_rank, 2, str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    model = TextNet()
    alone = classes(tmp_path, model).class_KD
    assert torch.equal(one, two) and torch.equal(one, alone)
    assert len(list(tmp_path.iterdir())) == 1 and model.texts == 1
