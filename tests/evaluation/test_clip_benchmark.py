"""Figures equal those of clip_benchmark, from PyPI, on the same weights and shards."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.projectors.native import Native
from tests.helpers.architectures import RESNET, VIT
from tests.helpers.evaluation_sets import write_set

pytest.importorskip("clip_benchmark")
from clip_benchmark.datasets.builder import (
    build_wds_dataset,
    image_captions_collate_fn,
)
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

pytestmark = pytest.mark.slow

CLASSES = ["ant", "bee", "old cat", "dog", "eel", "fox", "gnu"]
TEMPLATES = ["{c}", "a photo of a {c}.", "the {c}, large"]


def random_weights(architecture: dict[str, Any]) -> EmbeddingModel:
    torch.manual_seed(3)
    encoder = DualEncoder(architecture, image_size=32, context_length=16)
    return EmbeddingModel(encoder, Native(encoder.embed_dim)).eval()


def picture(n: int) -> tuple[str, bytes]:
    """Coloured blocks of a size of its own, and the suffix of its format."""
    generator = np.random.default_rng(n)
    blocks = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    size = (int(generator.integers(20, 90)), int(generator.integers(20, 90)))
    kind = ("PNG", "JPEG", "WEBP")[n % 3]
    buffer = io.BytesIO()
    blocks.resize(size, Image.Resampling.BILINEAR).save(buffer, kind)
    return {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[kind], buffer.getvalue()


def shards(texts: Sequence[str], suffix: str) -> list[list[tuple[str, bytes]]]:
    """A sample for each text, over three shards."""
    files: list[list[tuple[str, bytes]]] = [[], [], []]
    for n, text in enumerate(texts):
        kind, data = picture(n)
        files[n % 3] += [(f"{n:03d}.{kind}", data), (f"{n:03d}.{suffix}", text.encode())]
    return files


def accuracy(output: Tensor, target: Tensor, topk: Sequence[int] = (1,)) -> list[float]:
    """Its own but for the last line, a float of an array of one, which NumPy 2.4 refuses."""
    pred = output.topk(max(topk), 1, True, True)[1].t()
    correct = pred.eq(target.view(1, -1).expand_as(pred))
    return [correct[:k].reshape(-1).float().sum().item() / len(target) for k in topk]


@pytest.mark.parametrize("architecture", [RESNET, VIT], ids=["resnet", "vit"])
def test_zero_shot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: dict[str, Any]
) -> None:
    labels = np.random.default_rng(0).integers(0, 7, 80).tolist()
    folder = write_set(
        tmp_path / "s", shards([str(label) for label in labels], "cls"), CLASSES, TEMPLATES
    )
    model = random_weights(architecture)
    results = ZeroShot([str(folder)])(FeatureStore(model))

    monkeypatch.setattr(zeroshot_classification, "accuracy", accuracy)
    theirs = build_wds_dataset("wds/s", model.preprocess, data_dir=str(folder))
    loader = DataLoader(theirs.batched(9), batch_size=None)
    loader.dataset.classes = theirs.classes
    expected = zeroshot_classification.evaluate(
        model, loader, model.tokenizer, theirs.classes, theirs.templates, "cpu", amp=False
    )
    metrics = results.metrics
    assert metrics["s/zero_shot/samples"] == 80
    assert metrics["s/zero_shot/acc1"] == expected["acc1"] not in (0, 1)
    assert metrics["s/zero_shot/acc5"] == expected["acc5"]
    recall = expected["mean_per_class_recall"]
    assert metrics["s/zero_shot/mean_per_class_recall"] == pytest.approx(recall, abs=1e-12)

    classifier = zeroshot_classification.zero_shot_classifier(
        model, model.tokenizer, theirs.classes, theirs.templates, "cpu", amp=False
    )
    logits, target = zeroshot_classification.run_classification(
        model, classifier, loader, "cpu", amp=False
    )
    rows = results.predictions["s/zero_shot"]
    assert rows["label"] == target.tolist()
    assert rows["prediction"] == logits.argmax(1).tolist()
    assert np.allclose(rows["score"], logits.max(1).values / 100, atol=1e-6)


@pytest.mark.parametrize("architecture", [RESNET, VIT], ids=["resnet", "vit"])
def test_retrieval(tmp_path: Path, architecture: dict[str, Any]) -> None:
    captions = [
        [f"{CLASSES[n % 7]} number {n} {word}" for word in ("one", "two", "three")[: 1 + n % 3]]
        for n in range(40)
    ]
    folder = write_set(tmp_path / "s", shards(["\n".join(c) for c in captions], "txt"), [], None)
    (folder / "dataset_type.txt").write_text("retrieval\n")
    model = random_weights(architecture)
    every_k = list(range(1, 40))
    metrics = Retrieval([str(folder)], recall_at=every_k)(FeatureStore(model)).metrics

    theirs = build_wds_dataset("wds/s", model.preprocess, data_dir=str(folder))
    loader = DataLoader(theirs.batched(9, collation_fn=image_captions_collate_fn), batch_size=None)
    expected = zeroshot_retrieval.evaluate(
        model, loader, model.tokenizer, "cpu", amp=False, recall_k_list=every_k
    )
    assert metrics["s/retrieval/captions"] == sum(map(len, captions))
    # Every k, so that every query's rank is the same, or as many trade places.
    for ours, name in (("text_to_image", "image"), ("image_to_text", "text")):
        for k in every_k:
            found = metrics[f"s/retrieval/{ours}_r{k}"]
            assert found == pytest.approx(expected[f"{name}_retrieval_recall@{k}"], abs=1e-7)
        assert 0 < metrics[f"s/retrieval/{ours}_r5"] < 1
