"""Retrieval both ways between images and captions, several captions to an image."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.modes import similarity
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.accuracy import chunks
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals

logger = logging.getLogger(__name__)


def retrieval_ranks(
    query_ND: Tensor,
    candidate_MD: Tensor,
    group_N: Tensor,
    group_M: Tensor,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Where the best true candidate of each query stands, 1 the first: int64, (N,), on the CPU.

    A candidate is true if it is of the query's group. The rank is one more than the number of
    candidates that stand before the best true one: those that are not true and score at least as
    high. So a tie counts against: constant embeddings retrieve nothing, and a caption that two
    images share is a miss at 1 for both. Candidates of the very same embedding have the very same
    score, however the arithmetic is cut. A query with a score that is not finite has rank M + 1.

    No more than 2**24 scores are held at once, or one query's.

    Args:
        query_ND, candidate_MD: float32 rows; scores are their inner products.
        group_N, group_M: int64. Every query's group has a candidate.
        device: Where the scores are computed.
    """
    order_M = group_M.argsort(stable=True)
    sorted_M = group_M[order_M]
    first_N = torch.searchsorted(sorted_M, group_N, side="left")
    true_N = torch.searchsorted(sorted_M, group_N, side="right") - first_N
    assert bool((true_N > 0).all()), "a query without a true candidate"

    row_M, distinct = _distinct(candidate_MD)
    candidate_UD = candidate_MD[distinct].to(device)
    times_U = torch.bincount(row_M, minlength=len(distinct)).to(device)
    repeated = len(distinct) < len(candidate_MD)

    ranks = []
    for queries in chunks(len(query_ND), len(distinct)):
        score_QU = similarity(query_ND[queries].to(device), candidate_UD)
        # Pairs of a query and one of its true candidates, P in all.
        of_query_P = torch.repeat_interleave(true_N[queries])
        within_P = torch.arange(len(of_query_P)) - _starts(true_N[queries])[of_query_P]
        true_P = order_M[first_N[queries][of_query_P] + within_P]
        of_query_P, column_P = of_query_P.to(device), row_M[true_P].to(device)
        score_P = score_QU[of_query_P, column_P]
        best_Q = score_QU.new_full((len(score_QU),), -torch.inf)
        best_Q = best_Q.scatter_reduce(0, of_query_P, score_P, "amax")
        ahead_QU = score_QU >= best_Q[:, None]
        ahead_Q = (ahead_QU * times_U if repeated else ahead_QU).sum(1)
        # Among these are the true ones that score the best: they are not before themselves.
        best_P = (score_P == best_Q[of_query_P]).long()
        ahead_Q -= torch.zeros_like(ahead_Q).scatter_add(0, of_query_P, best_P)
        finite_Q = score_QU.isfinite().all(1)
        ranks.append(torch.where(finite_Q, 1 + ahead_Q, 1 + len(candidate_MD)).cpu())
    return torch.cat(ranks)


def _starts(count_N: Tensor) -> Tensor:
    return count_N.cumsum(0) - count_N


def _distinct(row_MD: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of its content, (M,); the first row of each content, (U,)."""
    number: dict[bytes, int] = {}
    first: list[int] = []
    of_row = []
    for m, row in enumerate(row_MD.contiguous().numpy()):
        content = blake2b(row.data, digest_size=16).digest()
        if content not in number:
            number[content] = len(number)
            first.append(m)
        of_row.append(number[content])
    return torch.tensor(of_row), torch.tensor(first)


def retrieval_figures(
    rank_N: Tensor, image_N: Tensor, candidates: int, recall_at: Sequence[int]
) -> dict[str, float]:
    """`r<k>`, the share of ranks of at most k, for each k below `candidates`; `median_rank`.

    Each share has its bounds; what is resampled is images, with all their queries.

    Args:
        rank_N: int64 ranks of the queries, 1 the best.
        image_N: int64, the image of each query, from 0 without gaps.
    """
    shares = {f"r{k}": (rank_N <= k).double() for k in recall_at if k < candidates}
    queries_U = torch.bincount(image_N).double()
    of_image = {
        name: torch.bincount(image_N, weights=hit_N) / queries_U for name, hit_N in shares.items()
    }
    return {
        **with_intervals(
            {n: hit_N.mean().item() for n, hit_N in shares.items()}, of_image, queries_U
        ),
        "median_rank": statistics.median(rank_N.tolist()),
    }


class Retrieval:
    """Find an image's captions among all captions, and a caption's image among all images.

    Figures of a set, with `image_to_text_` or `text_to_image_` before each: `r<k>`, the share of
    queries with a true answer among the first k (of an image any of its captions, as in most
    papers' R@k), with its bounds `r<k>_low` and `r<k>_high` (see `bootstrap`); `median_rank`, 1
    the best. Ties count against, see `retrieval_ranks`. A k that all candidates are within is
    left out: it says nothing. Then `samples`, the images that could be decoded, their `captions`,
    and `skipped`, the images that could not, whose captions are left out as well.

    Args:
        datasets: Sets, see `open_captioned`, or names with sets.
        split: The split to look at.
        recall_at: The k's.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = False

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        recall_at: Sequence[int] = (1, 5, 10),
        name: str = "retrieval",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self.recall_at = checks.whole_numbers(f"evaluation.{name}.recall_at", recall_at)
        self._sets: list[CaptionSet] | None = None

    def open(self) -> None:
        """Read the captions and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        setting = f"evaluation.{self.name}.datasets"
        self._sets = self.library.captioned(self.specs, self.split, setting)

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for dataset in self._sets:
            self._add(results, dataset, store)
        return results

    def _add(self, results: Results, dataset: CaptionSet, store: FeatureStore) -> None:
        images = store.images(dataset)
        captions = [dataset.captions[index] for index in images.index_N.tolist()]
        image_ND, text_MD = images.embedding_ND, store.texts([c for of in captions for c in of])
        image_N = torch.arange(len(images))
        image_M = torch.repeat_interleave(torch.tensor([len(of_image) for of_image in captions]))
        to_text_N = retrieval_ranks(image_ND, text_MD, image_N, image_M, store.device)
        to_image_M = retrieval_ranks(text_MD, image_ND, image_M, image_N, store.device)
        ways = {
            "image_to_text": retrieval_figures(to_text_N, image_N, len(text_MD), self.recall_at),
            "text_to_image": retrieval_figures(to_image_M, image_M, len(images), self.recall_at),
        }
        skipped = len(dataset) - len(images)
        if skipped and rank() == 0:
            logger.warning("%s: %d of %d images left out", dataset.name, skipped, len(dataset))
        results.add(
            dataset.name,
            self.name,
            figures={
                **{f"{way}_{name}": v for way, found in ways.items() for name, v in found.items()},
                "samples": len(images),
                "captions": len(text_MD),
                "skipped": skipped,
            },
            details={
                "protocol": {"split": self.split, "ties": "count against", "interval": PROTOCOL}
            },
            predictions=_predictions(dataset, images.index_N, captions, to_text_N, to_image_M),
        )


def _predictions(
    dataset: CaptionSet,
    index_N: Tensor,
    captions: Sequence[Sequence[str]],
    to_text_N: Tensor,
    to_image_M: Tensor,
) -> dict[str, Sequence[Any]]:
    """A row a query: the images, then the captions; an image's own `caption` is empty."""
    images = index_N.tolist()
    index = [*images, *(i for i, of in zip(images, captions, strict=True) for _ in of)]
    rank_Q = torch.cat([to_text_N, to_image_M])
    return {
        "way": ["image_to_text"] * len(to_text_N) + ["text_to_image"] * len(to_image_M),
        "index": index,
        "key": [dataset.key(i) for i in index],
        "caption": [*("" for _ in images), *(caption for of in captions for caption in of)],
        "rank": rank_Q.tolist(),
        "correct": (rank_Q == 1).tolist(),
    }
