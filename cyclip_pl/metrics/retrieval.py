"""Retrieval both ways between images and their texts, several texts per image."""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cyclip_pl.metrics.base import BaseMetric, as_double
from cyclip_pl.metrics.bootstrap import interval

_HELD = 1 << 22  # scores at once: 32 MiB
_OWN = ("image", "image_id")  # states that stay on their rank


def true_scores(image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor) -> Tensor:
    """The score of each text with its image, float32, (M,).

    Scores are inner products in float64, rounded to float32: equal rows then have equal scores,
    wherever they stand in a product, and the metric does not depend on how the work is divided.
    """
    return (as_double(image_ND[image_of_text_M]) * as_double(text_MD)).sum(1).float()


def ahead_of_true(
    image_ND: Tensor,
    best_N: Tensor,
    text_MD: Tensor,
    true_M: Tensor,
    image_of_text_M: Tensor,
    held: int = _HELD,
) -> tuple[Tensor, Tensor]:
    """Count the wrong texts before each image's best one, and the wrong images before each text's.

    A tie counts against. For a part of the images, the counts of the texts are that part's.

    Args:
        best_N: The highest of each image's `true_scores`.
        true_M: The texts' `true_scores`.
        image_of_text_M: The row of each text's image; -1 if it is not among these images.
        held: Scores to hold at once.

    Returns:
        int64, (N,) and (M,).
    """
    columns = 1 << 12
    rows = max(1, held // columns)
    ahead_N, ahead_M = (torch.zeros_like(x, dtype=torch.int64) for x in (best_N, true_M))
    for start in range(0, len(text_MD), columns):
        text = slice(start, start + columns)
        text_mD, own_m = as_double(text_MD[text]), image_of_text_M[text]
        for first in range(0, len(image_ND), rows):
            image = slice(first, first + rows)
            score_nm = (as_double(image_ND[image]) @ text_mD.T).float()
            true = (own_m >= first) & (own_m < first + rows)
            score_nm[own_m[true] - first, true.nonzero()[:, 0]] = -torch.inf
            ahead_N[image] += (score_nm >= best_N[image, None]).sum(1)
            ahead_M[text] += (score_nm >= true_M[text]).sum(0)
    return ahead_N, ahead_M


class RetrievalRecall(BaseMetric):
    """Find an image's texts among all texts, and a text's image among all images.

    With `image_to_text_` or `text_to_image_` before each: `r<k>` for each k of `recall_at`, the
    share of queries with a true answer among the first k (for an image any of its texts, as in most
    papers' R@k), its bounds `r<k>_low` and `r<k>_high` of `bootstrap`, which resamples images, and
    `median_rank`, 1 the best. A tie counts against: constant embeddings retrieve nothing, and a
    text that two images share is a miss at 1 for both. A query with a score that is not finite is
    last. A k that all candidates are within is left out.

    Each rank keeps its own images; texts alone are gathered. After `compute`, `image_ranks` and
    `text_ranks` are int64, on the CPU, of this rank's rows in the order of their updates.

        recall = RetrievalRecall(recall_at=(1, 5))
        recall.update(image_ND, text_ND)
        self.log_dict(recall.compute())
    """

    plot_lower_bound = 0.0
    image: list[Tensor]
    image_id: list[Tensor]
    text: list[Tensor]
    text_id: list[Tensor]
    true: list[Tensor]

    def __init__(
        self, recall_at: Sequence[int] = (1, 5, 10), intervals: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.recall_at = tuple(recall_at)
        self.intervals = intervals
        self.image_ranks = self.text_ranks = torch.empty(0, dtype=torch.int64)
        for name in (*_OWN, "text", "text_id", "true"):
            self.add_state(name, [], "cat")

    def update(
        self, image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor | None = None
    ) -> None:
        """Add images with all their texts, unit-norm rows.

        `image_of_text_M` is the row of each text's image, int64; None if text i is image i's.

        Raises:
            ValueError: An image has no text, or a text no image.
        """
        image_ND, text_MD = as_double(image_ND).float(), as_double(text_MD).float()
        images = len(image_ND)
        if image_of_text_M is None:
            image_of_text_M = torch.arange(images)
        named = image_of_text_M.unique().tolist()
        if len(image_of_text_M) != len(text_MD) or named != [*range(images)]:
            raise ValueError("image_of_text_M: must name the image of each text, and every image")
        image_of_text_M = image_of_text_M.to(image_ND.device)
        # Ranks cannot agree on numbers here, so each draws its own; equal ones do not occur.
        id_N = secrets.randbits(62) + torch.arange(images, device=image_ND.device)
        self.image.append(image_ND)
        self.image_id.append(id_N)
        self.text.append(text_MD.flatten())
        self.text_id.append(id_N[image_of_text_M])
        self.true.append(true_scores(image_ND, text_MD, image_of_text_M))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As in torchmetrics, without the images, which stay on their rank."""
        if not self.text_id:  # torchmetrics would send none of another type
            self.text_id.append(torch.empty(0, dtype=torch.int64, device=self.device))
        with self._own_aside():
            super().sync(*args, **kwargs)

    def unsync(self, *args: Any, **kwargs: Any) -> None:
        """As in torchmetrics, without the images."""
        with self._own_aside():
            super().unsync(*args, **kwargs)

    @contextmanager
    def _own_aside(self) -> Iterator[None]:
        own = {name: getattr(self, name) for name in _OWN}
        for name in _OWN:
            setattr(self, name, [])
        try:
            yield
        finally:
            for name, rows in own.items():
                setattr(self, name, rows)

    def compute(self) -> dict[str, Tensor]:
        text_id_M, true_M, text = map(_joined, (self.text_id, self.true, self.text))
        image, image_id_N = _joined(self.image), _joined(self.image_id)
        width = len(text) // max(1, len(text_id_M))
        image_ND, text_MD = image.view(len(image_id_N), width), text.view(len(text_id_M), width)
        row_M = _rows_of(text_id_M, image_id_N)
        own_M = row_M >= 0
        best_N = true_M.new_full((len(image_ND),), -torch.inf)
        best_N.scatter_reduce_(0, row_M[own_M], true_M[own_M], "amax")
        ahead_N, ahead_M = ahead_of_true(image_ND, best_N, text_MD, true_M, row_M)
        bad_N, bad_M = (~x.isfinite().all(1) for x in (image_ND, text_MD))
        # Over all ranks: images before each text's own, images that are not finite, images.
        parts = torch.cat([ahead_M, bad_N.sum()[None], ahead_M.new_tensor([len(bad_N)])])
        total = torch.stack(self._gathered(parts)).sum(0)
        ahead_M, bad_images, images = total[:-2], total[-2], int(total[-1])
        rank_N = (1 + ahead_N).where(~(bad_N | bad_M.any()), len(text_MD) + 1)
        rank_M = (1 + ahead_M).where(~bad_M & (bad_images == 0), images + 1)
        self.image_ranks, self.text_ranks = rank_N.cpu(), rank_M[own_M].cpu()
        all_rank_N = torch.cat(self._gathered(rank_N))
        to_text = self._values("image_to_text", all_rank_N, torch.arange(images), len(text_MD))
        return self.scalars(to_text | self._values("text_to_image", rank_M, text_id_M, images))

    def _values(
        self, way: str, rank_N: Tensor, unit_N: Tensor, candidates: int
    ) -> dict[str, float]:
        """Shares and median of the ranks of N queries, whose units the bootstrap resamples."""
        rank_N, of_unit_N = rank_N.cpu(), unit_N.cpu().unique(return_inverse=True)[1]
        queries_U = torch.bincount(of_unit_N)
        values: dict[str, float] = {}
        for k in [k for k in self.recall_at if k < candidates]:
            hit_N = (rank_N <= k).double()
            values[f"{way}_r{k}"] = hit_N.mean().item()
            if self.intervals:
                mean_U = torch.bincount(of_unit_N, weights=hit_N) / queries_U
                low, high = interval(mean_U.numpy(), queries_U.numpy())
                values |= {f"{way}_r{k}_low": low, f"{way}_r{k}_high": high}
        median = statistics.median(rank_N.tolist()) if len(rank_N) else math.nan
        return {**values, f"{way}_median_rank": median}

    def _gathered(self, x: Tensor) -> list[Tensor]:
        """Every rank's `x`; this rank's alone where torchmetrics does not synchronise."""
        if not self._is_synced:
            return [x]
        return (self.dist_sync_fn or gather_all_tensors)(x, group=self.process_group)


def _joined(rows: Tensor | list[Tensor]) -> Tensor:
    """One tensor of a list state, which is one already after a sync."""
    if isinstance(rows, Tensor):
        return rows
    return torch.cat(rows) if rows else torch.empty(0)


def _rows_of(text_id_M: Tensor, image_id_N: Tensor) -> Tensor:
    """The row of each text's image among these images, or -1: int64, (M,)."""
    if not len(image_id_N):
        return torch.full_like(text_id_M, -1)
    sorted_N, row_N = image_id_N.sort()
    place_M = torch.searchsorted(sorted_N, text_id_M).clamp_(max=len(sorted_N) - 1)
    return row_N[place_M].where(sorted_N[place_M] == text_id_M, -1)
