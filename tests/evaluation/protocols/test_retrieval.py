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
from cyclip_pl.evaluation.protocols import retrieval
from cyclip_pl.evaluation.protocols.retrieval import Retrieval, retrieval_ranks
from cyclip_pl.evaluation.results import Results
from cyclip_pl.metrics import accuracy
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


@pytest.mark.parametrize("held", [1, 40, 1 << 24])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_loops_with_ties_and_duplicates(
    monkeypatch: pytest.MonkeyPatch, seed: int, held: int
) -> None:
    # Small whole numbers: many scores are equal, and many rows, and no sum is rounded.
    monkeypatch.setattr(accuracy, "_SCORES", held)
    generator = torch.Generator().manual_seed(seed)
    group_M = torch.randint(0, 6, (50,), generator=generator)
    group_M[:6] = torch.arange(6)  # every group has a candidate, one has many
    group_N = torch.randint(0, 6, (31,), generator=generator)
    query_ND = torch.randint(-2, 3, (31, 3), generator=generator).float()
    candidate_MD = torch.randint(-2, 3, (50, 3), generator=generator).float()
    expected = naive_ranks(*(x.tolist() for x in (query_ND, candidate_MD, group_N, group_M)))
    ranks = retrieval_ranks(query_ND, candidate_MD, group_N, group_M)
    assert ranks.tolist() == expected and ranks.dtype == torch.int64
    assert min(expected) == 1 and max(expected) > 10


def test_one_candidate_and_one_query() -> None:
    one = torch.ones(1, 2)
    assert retrieval_ranks(one, one, torch.tensor([7]), torch.tensor([7])).tolist() == [1]


def images_and_captions(images: int, each: int) -> tuple[Tensor, Tensor]:
    return torch.arange(images), torch.arange(images).repeat_interleave(each)


def test_constant_embeddings_retrieve_nothing() -> None:
    image_N, image_M = images_and_captions(30, 5)
    constant_ND, constant_MD = torch.ones(30, 8) / 8**0.5, torch.ones(150, 8) / 8**0.5
    assert retrieval_ranks(constant_ND, constant_MD, image_N, image_M).tolist() == [146] * 30
    assert retrieval_ranks(constant_MD, constant_ND, image_M, image_N).tolist() == [30] * 150


def test_a_diverged_model_retrieves_nothing() -> None:
    image_N, image_M = images_and_captions(4, 2)
    image_ND = one_hot(image_N).float()
    image_ND[1] = float("nan")
    ranks = retrieval_ranks(image_ND, one_hot(image_M).float(), image_N, image_M)
    assert ranks.tolist() == [1, 9, 1, 1]


def test_a_caption_of_two_images_is_a_miss_however_the_arithmetic_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Image 0 and its caption are the same vector, and so is the last of 300 captions.
    generator = torch.Generator().manual_seed(0)
    text_MD = normalize(torch.randn(300, 37, generator=generator), dim=-1)
    text_MD[-1] = text_MD[0]
    image_ND = text_MD.clone()
    index = torch.arange(300)
    for held in (1, 1000, 1 << 24):
        monkeypatch.setattr(accuracy, "_SCORES", held)
        ranks = retrieval_ranks(image_ND, text_MD, index, index)
        assert ranks.tolist() == [2, *[1] * 298, 2]


def test_no_more_than_a_bounded_number_of_scores_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    similarity = retrieval.similarity
    monkeypatch.setattr(
        retrieval, "similarity", lambda a, b: held.append(len(a) * len(b)) or similarity(a, b)
    )
    monkeypatch.setattr(accuracy, "_SCORES", 10_000)
    generator = torch.Generator().manual_seed(0)
    image_N, image_M = images_and_captions(200, 5)
    image_ND, text_MD = (torch.randn(n, 4, generator=generator) for n in (200, 1000))
    retrieval_ranks(image_ND, text_MD, image_N, image_M)
    assert len(held) == 20 and max(held) == 10_000 and sum(held) == 200 * 1000


def authors_image_to_text(image_ND: Tensor, text_ND: Tensor) -> float:
    """R@1 as the script in CyCLIP's history computed it (utils/retrieval.py at a0b7b34).

    Rows are pairs, an image five times over; its ranks start as zeros, and every fifth is filled.
    """
    ranks = np.zeros(len(image_ND))
    for index in range(0, len(image_ND), 5):
        order = np.argsort((image_ND[index] @ text_ND.t()).numpy())[::-1]
        ranks[index] = next(i for i, c in enumerate(order) if index <= c <= index + 4)
    return len(np.where(ranks < 1)[0]) / len(ranks)


def test_random_embeddings_are_at_chance_where_the_authors_script_says_80_percent() -> None:
    generator = torch.Generator().manual_seed(0)
    image_N, image_M = images_and_captions(400, 5)
    image_ND, text_MD = (
        normalize(torch.randn(n, 64, generator=generator), dim=-1) for n in (400, 2000)
    )
    assert authors_image_to_text(image_ND[image_M], text_MD) == pytest.approx(0.8, abs=0.01)
    to_text = retrieval_ranks(image_ND, text_MD, image_N, image_M)
    to_image = retrieval_ranks(text_MD, image_ND, image_M, image_N)
    for k in (1, 5, 10, 100):
        # That none of an image's 5 captions is among the k of 2,000 drawn.
        any_of_5 = 1 - math.comb(2000 - k, 5) / math.comb(2000, 5)
        for ranks, chance in ((to_text, any_of_5), (to_image, k / 400)):
            found = (ranks <= k).double().mean().item()
            # Captions of one image share its draw: as many independent draws as images.
            assert found == pytest.approx(chance, abs=5 * (chance / 400) ** 0.5)


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
        ({"recall_at": []}, r"^evaluation\.retrieval\.recall_at must be a list of numbers; got"),
        ({"recall_at": [0]}, r"^evaluation\.retrieval\.recall_at must be .* 1; got 0$"),
        ({"datasets": "x"}, r"^evaluation\.retrieval\.datasets .*write \[x\]$"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retrieval(**{"datasets": ["x"], **settings})


def test_a_missing_set_shows_on_opening(tmp_path: Path) -> None:
    message = r"^evaluation\.retrieval\.datasets: no retrieval set at .*absent"
    with pytest.raises(ValueError, match=message):
        Retrieval([str(tmp_path / "absent")]).open()
