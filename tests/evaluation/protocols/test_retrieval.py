from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.results import Results
from cyclip_pl.types import Model
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import TableModel, TinyNet, caption_set
from tests.helpers.loops import naive_ranks
from tests.helpers.protocols import one_thread


def table(captions: Sequence[Sequence[str]], image_ND: Tensor, text_MD: Tensor) -> TableModel:
    texts = itertools.chain.from_iterable(captions)
    return TableModel(image_ND, dict(zip(texts, text_MD, strict=True)))


def evaluated(folder: Path, model: Model, **settings: object) -> Results:
    return Retrieval([str(folder)], **settings)(FeatureStore(model, batch_size=8))  # type: ignore[arg-type]


def without_bounds(metrics: dict[str, float]) -> dict[str, float]:
    short = {name.split("/", 2)[2]: v for name, v in metrics.items()}
    return {name: v for name, v in short.items() if not name.endswith(("_low", "_high"))}


def test_perfect_embeddings_score_one(tmp_path: Path) -> None:
    captions = [[f"caption {n} {i}" for i in range(1 + n % 3)] for n in range(20)]
    image_M = torch.tensor([n for n, of in enumerate(captions) for _ in of])
    model = table(captions, torch.eye(20), one_hot(image_M, 20).float())
    results = evaluated(caption_set(tmp_path / "s", captions), model)
    ways = ("image_to_text", "text_to_image")
    recalls = {f"{way}_r{k}": 1.0 for way in ways for k in (1, 5, 10)}
    medians = {f"{way}_median_rank": 1.0 for way in ways}
    counts = {"samples": 20, "captions": len(image_M), "skipped": 0}
    assert without_bounds(results.metrics) == {**recalls, **medians, **counts}
    assert results.metrics["s/retrieval/text_to_image_r5_low"] == 1


def test_a_set_with_broken_images_is_the_set_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = torch.Generator().manual_seed(1)
    captions = [[f"caption {n} {i}" for i in range(1 + n * n % 4)] for n in range(23)]
    captions[7][0] = captions[9][0] = "the same"
    image_ND = normalize(torch.randn(23, 6, generator=generator), dim=-1)
    texts = list(dict.fromkeys(itertools.chain.from_iterable(captions)))
    text_UD = normalize(torch.randn(len(texts), 6, generator=generator), dim=-1)
    model = TableModel(image_ND, dict(zip(texts, text_UD, strict=True)))
    folder = caption_set(tmp_path / "s", captions, broken=[0, 3, 22])
    with caplog.at_level(logging.WARNING):
        results = evaluated(folder, model, recall_at=[1, 2, 20, 100])
    assert "s: 3 of 23 images skipped" in caplog.text

    good = [n for n in range(23) if n not in (0, 3, 22)]
    pairs = [(n, caption) for n in good for caption in captions[n]]
    images = [image_ND[n].double().tolist() for n in good]
    of_text = [model.text_D[caption].double().tolist() for _, caption in pairs]
    to_text = naive_ranks(images, of_text, good, [n for n, _ in pairs])
    to_image = naive_ranks(of_text, images, [n for n, _ in pairs], good)
    expected = {"samples": 20, "captions": len(pairs), "skipped": 3}
    for way, ranks, candidates in (
        ("image_to_text", to_text, len(pairs)),
        ("text_to_image", to_image, 20),
    ):
        for k in (1, 2, 20, 100):
            if k < candidates:
                expected[f"{way}_r{k}"] = sum(rank <= k for rank in ranks) / len(ranks)
        expected[f"{way}_median_rank"] = np.median(ranks)
    assert without_bounds(results.metrics) == pytest.approx(expected, abs=1e-12)

    rows = results.predictions["s/retrieval"]
    assert rows["rank"] == to_text + to_image
    assert rows["correct"] == [rank == 1 for rank in rows["rank"]]
    assert rows["index"] == good + [n for n, _ in pairs]
    assert rows["key"][:2] == ["s0001", "s0002"]
    assert rows["caption"] == [""] * 20 + [caption for _, caption in pairs]
    assert rows["way"] == ["image_to_text"] * 20 + ["text_to_image"] * len(pairs)


def _results_of_rank(folder: str) -> Results:
    return Retrieval([folder])(FeatureStore(TinyNet(), batch_size=8))


@pytest.mark.slow
def test_two_processes_and_one_agree_to_the_last_digit(tmp_path: Path) -> None:
    # 37 images and 86 captions in batches of 8.
    captions = [[f"caption {n} {i}" for i in range(1 + n % 4)] for n in range(37)]
    captions[5] = captions[30] = ["the same"]
    folder = caption_set(tmp_path / "s", captions, broken=[2, 33])
    with one_thread():
        alone = _results_of_rank(str(folder))
    assert alone.metrics["s/retrieval/samples"] == 35
    for found in run_distributed(_results_of_rank, 2, str(folder)):
        for name in ("metrics", "details", "predictions"):
            assert getattr(found, name) == getattr(alone, name), name
        # How an image is decoded does not compare, its name does.
        assert {t: list(of) for t, of in found.images.items()} == {
            t: list(of) for t, of in alone.images.items()
        }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recall_at": []}, r"^evaluation\.retrieval\.recall_at=\[\]: must be a list of whole"),
        ({"recall_at": [0]}, r"^evaluation\.retrieval\.recall_at=\[0\]: must be .* least 1$"),
        ({"datasets": "x"}, r"^evaluation\.retrieval\.datasets=x: .*write \[x\]$"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retrieval(**{"datasets": ["x"], **settings})


def test_a_missing_set_shows_on_opening(tmp_path: Path) -> None:
    message = r"^evaluation\.retrieval\.datasets: no retrieval set at .*absent"
    with pytest.raises(ValueError, match=message):
        Retrieval([str(tmp_path / "absent")]).open()
