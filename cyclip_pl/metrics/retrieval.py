"""Retrieval both ways between images and their texts, several texts per image.

Shape legend: N images, M texts, D width; small letters are a part of them.
"""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cyclip_pl.metrics.base import BaseMetric, as_double, with_double
from cyclip_pl.metrics.bootstrap import interval

_HELD = 1 << 22  # scores at once: 32 MiB
_OWN = ("image", "image_id", "best")  # states that stay on their rank


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
        image_ND: Images to compare with all texts.
        best_N: The highest of each image's `true_scores`.
        text_MD: All texts.
        true_M: Their `true_scores`.
        image_of_text_M: The row of each text's image; -1 if it is not among these images.
        held: Scores to hold at once.

    Returns:
        int64, (N,) and (M,).
    """
    columns = min(len(text_MD), 1 << 12)
    rows = max(1, held // max(1, columns))
    ahead_N, ahead_M = (
        torch.zeros(len(x), dtype=torch.int64, device=true_M.device) for x in (best_N, true_M)
    )
    for start in range(0, len(text_MD), max(1, columns)):
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

    With `image_to_text_` or `text_to_image_` before each: `r<k>`, the share of queries with a true
    answer among the first k (for an image any of its texts, as in most papers' R@k), its bounds
    `r<k>_low` and `r<k>_high` of `bootstrap`, which resamples images, and `median_rank`, 1 the
    best. A tie counts against: constant embeddings retrieve nothing, and a text that two images
    share is a miss at 1 for both. A query with a score that is not finite is last. A k that all
    candidates are within is left out.

    Each rank keeps its own images; texts alone are gathered. After `compute`, `image_ranks` and
    `text_ranks` are int64, on the CPU, of this rank's rows in the order of their updates.

        recall = RetrievalRecall(recall_at=(1, 5))
        recall.update(image_ND, text_ND)
        self.log_dict(recall.compute())

    Args:
        recall_at: The k's.
        intervals: Whether to compute the bounds.
        kwargs: See `torchmetrics.Metric`.
    """

    plot_lower_bound = 0.0
    image: list[Tensor]
    image_id: list[Tensor]
    best: list[Tensor]
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
        self._over_ranks = False

    def update(
        self, image_ND: Tensor, text_MD: Tensor, image_of_text_M: Tensor | None = None
    ) -> None:
        """Add images with all their texts.

        Args:
            image_ND: Unit-norm rows.
            text_MD: Likewise.
            image_of_text_M: int64, the row of each text's image in `image_ND`; None if text i is
                image i's.

        Raises:
            ValueError: An image has no text, or a text no image.
        """
        image_ND, text_MD = with_double(image_ND).float(), with_double(text_MD).float()
        images = len(image_ND)
        if image_of_text_M is None:
            image_of_text_M = torch.arange(images)
        if len(image_of_text_M) != len(text_MD) or image_of_text_M.unique().tolist() != [
            *range(images)
        ]:
            raise ValueError("image_of_text_M: must name the image of each text, and every image")
        image_of_text_M = image_of_text_M.to(image_ND.device)
        # Ranks cannot agree on numbers here, so each draws its own; equal ones do not occur.
        id_N = secrets.randbits(62) + torch.arange(images, device=image_ND.device)
        true_M = true_scores(image_ND, text_MD, image_of_text_M)
        best_N = true_M.new_full((images,), -torch.inf)
        self.best.append(best_N.scatter_reduce_(0, image_of_text_M, true_M, "amax"))
        self.image.append(image_ND)
        self.image_id.append(id_N)
        self.text.append(text_MD.flatten())
        self.text_id.append(id_N[image_of_text_M])
        self.true.append(true_M)

    def sync(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """As in torchmetrics, without the images, which stay on their rank."""
        available = distributed_available or self.distributed_available_fn
        self._over_ranks = should_sync and available()
        if not self.text_id:  # torchmetrics would send none of another type
            self.text_id.append(torch.empty(0, dtype=torch.int64, device=self.device))
        with self._own_aside():
            super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def unsync(self, should_unsync: bool = True) -> None:
        """As in torchmetrics, without the images."""
        with self._own_aside():
            super().unsync(should_unsync)

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
        """All values by name, float64."""
        text_id_M, true_M, text_MD = self._texts()
        image, image_id_N, best_N = (_joined(getattr(self, name)) for name in _OWN)
        image_ND = image.view(len(best_N), text_MD.shape[1])
        row_M = _rows_of(text_id_M, image_id_N)
        ahead_N, ahead_M = ahead_of_true(image_ND, best_N, text_MD, true_M, row_M)
        bad_N, bad_M = (~x.isfinite().all(1) for x in (image_ND, text_MD))
        # Over all ranks: images before each text's own, images that are not finite, images.
        parts = torch.cat([ahead_M, torch.stack([bad_N.sum(), ahead_M.new_tensor(len(bad_N))])])
        total = torch.stack(self._gathered(parts)).sum(0)
        ahead_M, bad_images, images = total[:-2], total[-2], total[-1]
        rank_N = (1 + ahead_N).where(~(bad_N | bad_M.any()), len(text_MD) + 1)
        rank_M = (1 + ahead_M).where(~bad_M & (bad_images == 0), images + 1)
        self.image_ranks, self.text_ranks = rank_N.cpu(), rank_M[row_M >= 0].cpu()
        every_rank_N = torch.cat(self._gathered(rank_N))
        ways = {
            "image_to_text": self._values(
                every_rank_N, torch.arange(len(every_rank_N)), len(text_MD)
            ),
            "text_to_image": self._values(rank_M, text_id_M, int(images)),
        }
        return self.scalars({f"{way}_{n}": v for way, of in ways.items() for n, v in of.items()})

    def _texts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of all texts: the number of the image, the score with it, the rows."""
        text_id_M, true_M = _joined(self.text_id), _joined(self.true)
        text = _joined(self.text)
        return text_id_M, true_M, text.view(len(text_id_M), -1) if len(text) else text[:, None]

    def _values(self, rank_N: Tensor, unit_N: Tensor, candidates: int) -> dict[str, float]:
        """Shares and median of the ranks of N queries, whose units the bootstrap resamples."""
        rank_N, of_unit_N = rank_N.cpu(), unit_N.cpu().unique(return_inverse=True)[1]
        queries_U = torch.bincount(of_unit_N)
        values: dict[str, float] = {}
        for k in self.recall_at:
            if k < candidates:
                hit_N = (rank_N <= k).double()
                values[f"r{k}"] = hit_N.mean().item()
                if self.intervals:
                    mean_U = torch.bincount(of_unit_N, weights=hit_N) / queries_U
                    bounds = interval(mean_U.numpy(), queries_U.numpy())
                    values[f"r{k}_low"], values[f"r{k}_high"] = bounds
        values["median_rank"] = statistics.median(rank_N.tolist()) if len(rank_N) else math.nan
        return values

    def _gathered(self, x: Tensor) -> list[Tensor]:
        """Every rank's `x`; this rank's alone where torchmetrics does not synchronise."""
        if not self._over_ranks:
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
