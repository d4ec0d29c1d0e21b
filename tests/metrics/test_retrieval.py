from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.metrics.bootstrap import interval, share_interval
from cyclip_pl.metrics.retrieval import RetrievalRecall, ahead_of_true, true_scores
from tests.helpers.loops import naive_ranks


def recall(
    image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor, size: int = 7, **settings: object
) -> RetrievalRecall:
    """Updated `size` images at a time, and computed."""
    metric = RetrievalRecall(**settings)  # type: ignore[arg-type]
    for start in range(0, len(image_ND), size):
        mine_M = (image_of_text_M >= start) & (image_of_text_M < start + size)
        metric.update(
            image_ND[start : start + size], text_MD[mine_M], image_of_text_M[mine_M] - start
        )
    metric.compute()
    return metric


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_loops_with_ties_and_duplicates(seed: int, size: int) -> None:
    # Small whole numbers: many scores are equal, and many rows, and no sum is rounded.
    generator = torch.Generator().manual_seed(seed)
    image_ND = torch.randint(-2, 3, (31, 3), generator=generator).float()
    image_M = torch.arange(31).repeat_interleave(torch.randint(1, 4, (31,), generator=generator))
    text_MD = torch.randint(-2, 3, (len(image_M), 3), generator=generator).float()
    index = torch.arange(31)
    to_text = naive_ranks(*(x.tolist() for x in (image_ND, text_MD, index, image_M)))
    to_image = naive_ranks(*(x.tolist() for x in (text_MD, image_ND, image_M, index)))
    metric = recall(image_ND, text_MD, image_M, size, recall_at=(1, 5, 30, 31))
    assert metric.image_ranks.tolist() == to_text and metric.text_ranks.tolist() == to_image
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found["image_to_text_r5"] == sum(rank <= 5 for rank in to_text) / 31
    assert found["image_to_text_median_rank"] == statistics.median(to_text)
    assert found["text_to_image_median_rank"] == statistics.median(to_image)
    # All 31 images are within 31; all texts are not.
    assert "text_to_image_r31" not in found and "image_to_text_r31" in found


@pytest.mark.parametrize("held", [1, 40, 1 << 22])
def test_counts_do_not_depend_on_the_blocks(held: int) -> None:
    generator = torch.Generator().manual_seed(0)
    image_ND, text_MD = (torch.randn(n, 5, generator=generator) for n in (20, 5000))
    image_M = torch.arange(5000) % 20
    true_M = true_scores(image_ND, text_MD, image_M)
    best_N = torch.stack([true_M[image_M == n].max() for n in range(20)])
    found = ahead_of_true(image_ND, best_N, text_MD, true_M, image_M, held)
    whole = (image_ND.double() @ text_MD.double().T).float()
    whole[image_M, torch.arange(5000)] = -torch.inf
    assert torch.equal(found[0], (whole >= best_N[:, None]).sum(1))
    assert torch.equal(found[1], (whole >= true_M).sum(0))


def images_and_captions(images: int, each: int) -> tuple[Tensor, Tensor]:
    return torch.arange(images), torch.arange(images).repeat_interleave(each)


def test_constant_embeddings_retrieve_nothing() -> None:
    _, image_M = images_and_captions(30, 5)
    metric = recall(torch.ones(30, 8) / 8**0.5, torch.ones(150, 8) / 8**0.5, image_M)
    assert metric.image_ranks.tolist() == [146] * 30
    assert metric.text_ranks.tolist() == [30] * 150


def test_a_diverged_model_retrieves_nothing() -> None:
    image_N, image_M = images_and_captions(4, 2)
    image_ND = one_hot(image_N).float()
    image_ND[1] = float("nan")
    metric = recall(image_ND, one_hot(image_M).float(), image_M)
    assert metric.image_ranks.tolist() == [1, 9, 1, 1]
    assert metric.text_ranks.tolist() == [5] * 8


@pytest.mark.parametrize("size", [1, 64, 300])
def test_a_caption_of_two_images_is_a_miss_wherever_they_stand(size: int) -> None:
    # Image 0 and its caption are the same vector, and so is the last of 300 captions.
    generator = torch.Generator().manual_seed(0)
    text_MD = normalize(torch.randn(300, 37, generator=generator), dim=-1)
    text_MD[-1] = text_MD[0]
    metric = recall(text_MD.clone(), text_MD, torch.arange(300), size)
    assert metric.image_ranks.tolist() == metric.text_ranks.tolist() == [2, *[1] * 298, 2]


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
    image_ND, text_MD = (
        normalize(torch.randn(n, 64, generator=generator), dim=-1) for n in (400, 2000)
    )
    image_M = images_and_captions(400, 5)[1]
    assert authors_image_to_text(image_ND[image_M], text_MD) == pytest.approx(0.8, abs=0.01)
    ks = (1, 5, 10, 100)
    found = recall(image_ND, text_MD, image_M, 256, recall_at=ks, intervals=False).compute()
    for k in ks:
        # That none of an image's 5 captions is among the k of 2,000 drawn.
        any_of_5 = 1 - math.comb(2000 - k, 5) / math.comb(2000, 5)
        for way, chance in (("image_to_text", any_of_5), ("text_to_image", k / 400)):
            # Captions of one image share its draw: as many independent draws as images.
            share = found[f"{way}_r{k}"].item()
            assert share == pytest.approx(chance, abs=5 * (chance / 400) ** 0.5)


def test_intervals_resample_images_with_all_their_captions() -> None:
    generator = torch.Generator().manual_seed(1)
    image_M = torch.arange(40).repeat_interleave(torch.arange(40) % 3 + 1)
    image_ND = normalize(torch.randn(40, 8, generator=generator), dim=-1)
    noise_MD = torch.randn(len(image_M), 8, generator=generator)
    metric = recall(image_ND, image_ND[image_M] + 0.3 * noise_MD, image_M)
    found = {name: value.item() for name, value in metric.compute().items()}
    hits = [(metric.text_ranks[image_M == n] <= 1).double() for n in range(40)]
    expected = interval([hit.mean().item() for hit in hits], [len(hit) for hit in hits])
    assert (found["text_to_image_r1_low"], found["text_to_image_r1_high"]) == expected
    right = int((metric.image_ranks <= 1).sum())
    expected = share_interval(right, 40)
    assert (found["image_to_text_r1_low"], found["image_to_text_r1_high"]) == expected


def test_an_image_without_a_text_is_refused() -> None:
    one, two = torch.ones(1, 4), torch.ones(2, 4)
    for image_of_text_M in (None, torch.tensor([0]), torch.tensor([1]), torch.tensor([0, 1])):
        with pytest.raises(ValueError, match="^image_of_text_M: must name the image of each text"):
            RetrievalRecall().update(two, one, image_of_text_M)
