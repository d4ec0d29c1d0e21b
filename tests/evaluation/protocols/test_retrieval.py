from __future__ import annotations

import itertools
import logging
import math
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
from tests.helpers.protocols import one_thread


def naive_ranks(
    query: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    group_of_query: Sequence[int],
    group_of_candidate: Sequence[int],
) -> list[int]:
    """Sort the candidates, of equal scores the false ones first; where the first true one is."""
    ranks = []
    for vector, group in zip(query, group_of_query, strict=True):
        scored = [
            (-sum(a * b for a, b in zip(vector, other, strict=True)), other_group == group)
            for other, other_group in zip(candidate, group_of_candidate, strict=True)
        ]
        ranks.append(1 + [true for _, true in sorted(scored)].index(True))
    return ranks


def authors_image_to_text(image_ND: Tensor, text_ND: Tensor) -> float:
    """R@1 as the script in CyCLIP's history computed it (utils/retrieval.py at a0b7b34).

    Rows are pairs, an image five times over; its ranks start as zeros, and every fifth is filled.
    """
    ranks = np.zeros(len(image_ND))
    for index in range(0, len(image_ND), 5):
        order = np.argsort((image_ND[index] @ text_ND.t()).numpy())[::-1]
        ranks[index] = next(i for i, c in enumerate(order) if index <= c <= index + 4)
    return len(np.where(ranks < 1)[0]) / len(ranks)


def test_random_embeddings_are_at_chance_where_the_authors_script_says_80_percent(
    tmp_path: Path,
) -> None:
    generator = torch.Generator().manual_seed(0)
    captions = [[f"caption {n} {i}" for i in range(5)] for n in range(400)]
    image_M = torch.arange(400).repeat_interleave(5)
    image_ND, text_MD = (
        normalize(torch.randn(n, 64, generator=generator), dim=-1) for n in (400, 2000)
    )
    assert authors_image_to_text(image_ND[image_M], text_MD) == pytest.approx(0.8, abs=0.01)
    model = table(captions, image_ND, text_MD)
    ks = (1, 5, 10, 100)
    found = evaluated(caption_set(tmp_path / "s", captions), model, recall_at=ks).metrics
    for k in ks:
        # That none of an image's 5 captions is among the k of 2,000 drawn.
        any_of_5 = 1 - math.comb(2000 - k, 5) / math.comb(2000, 5)
        for way, chance in (("image_to_text", any_of_5), ("text_to_image", k / 400)):
            # Captions of one image share its draw: as many independent draws as images.
            share = found[f"s/retrieval/{way}_r{k}"]
            assert share == pytest.approx(chance, abs=5 * (chance / 400) ** 0.5)


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


def test_bounds_resample_images_not_captions(tmp_path: Path) -> None:
    # All captions of an image are found, or none is: 40 draws, however many captions there are.
    widths = []
    for each in (1, 8):
        captions = [[f"caption {n} {i}" for i in range(each)] for n in range(40)]
        found_N = torch.arange(40) % 2
        text_MD = one_hot(torch.arange(40).repeat_interleave(each), 40).float()
        image_ND = torch.eye(40).where(found_N[:, None] == 0, -torch.eye(40))
        model = table(captions, image_ND, text_MD)
        metrics = evaluated(caption_set(tmp_path / f"s{each}", captions), model).metrics
        low, high = (metrics[f"s{each}/retrieval/text_to_image_r1_{e}"] for e in ("low", "high"))
        assert low < metrics[f"s{each}/retrieval/text_to_image_r1"] == 0.5 < high
        widths.append(high - low)
    assert widths[0] == pytest.approx(widths[1], rel=0.2)


def _results_of_rank(folder: str) -> Results:
    return Retrieval([folder])(FeatureStore(TinyNet(), batch_size=8))


def test_two_processes_and_one_agree_to_the_last_digit(tmp_path: Path) -> None:
    # 37 images and 86 captions in batches of 8.
    captions = [[f"caption {n} {i}" for i in range(1 + n % 4)] for n in range(37)]
    captions[5] = captions[30] = ["the same"]
    folder = caption_set(tmp_path / "s", captions, broken=[2, 33])
    with one_thread():
        alone = _results_of_rank(str(folder))
    assert alone.metrics["s/retrieval/samples"] == 35
    assert run_distributed(_results_of_rank, 2, str(folder)) == [alone, alone]


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
