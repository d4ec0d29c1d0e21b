"""Retrieval both ways between images and captions, several captions to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import gather_rows
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.retrieval import RetrievalRecall


class Retrieval(Protocol[CaptionSet]):
    """Find an image's captions among all captions, and a caption's image among all images.

    Metrics of a set: those of `RetrievalRecall`; `samples`, the images that could be decoded,
    their `captions`, and `skipped`, the images that could not, whose captions are left out.

    Args:
        datasets: Sets, see `open_captioned`, or names with sets.
        split: The split to look at.
        recall_at: The k's.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        recall_at: Sequence[int] = (1, 5, 10),
        name: str = "retrieval",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split)
        self.specs = named_sets(datasets, self.setting("datasets"))
        self.recall_at = checks.whole_numbers(self.setting("recall_at"), recall_at)

    def _open(self) -> list[CaptionSet]:
        return self.library.captioned(self.specs, self.split, self.setting("datasets"))

    def _add(self, results: Results, dataset: CaptionSet, store: FeatureStore) -> None:
        images, device = store.images(dataset), store.double_device
        captions = [dataset.captions[i] for i in images.whole(images.rows.index_n).tolist()]
        store.encode_texts([text for of_image in captions for text in of_image])
        recall = RetrievalRecall(self.recall_at).to(device)
        for block in images.blocks:
            of_block = [dataset.captions[i] for i in block.index_n.tolist()]
            text_mD = store.texts([text for of_image in of_block for text in of_image])
            image_m = _repeated(torch.arange(len(block)), of_block)
            recall.update(block.embedding_nD.to(device), text_mD.to(device), image_m.to(device))
        metrics = recall.compute()
        results.add(
            dataset.name,
            self.name,
            {
                **metrics,
                "samples": images.total,
                "captions": sum(map(len, captions)),
                "skipped": self.skipped(dataset, images),
            },
            {"protocol": self.protocol(ties="count against")},
            _predictions(dataset, images, recall.image_ranks, recall.text_ranks),
        )


def _repeated(x_n: Tensor, captions: Sequence[Sequence[str]]) -> Tensor:
    """An image's number once per caption."""
    return x_n.repeat_interleave(torch.tensor([len(of) for of in captions], dtype=torch.int64))


def _predictions(
    dataset: CaptionSet, images: EncodedImages, image_rank_n: Tensor, text_rank_m: Tensor
) -> dict[str, Sequence[Any]]:
    """One row per query: the images, then the captions; an image's own `caption` is empty."""
    index_n = images.rows.index_n
    of_images = images.columns(dataset, rank=image_rank_n)
    index_m = _repeated(index_n, [dataset.captions[i] for i in index_n.tolist()])
    index_M, order_M = gather_rows(index_m).sort(stable=True)
    index = [*of_images["index"], *index_M.tolist()]
    rank = [*of_images["rank"], *gather_rows(text_rank_m)[order_M].tolist()]
    texts = [text for i in of_images["index"] for text in dataset.captions[i]]
    return {
        "way": ["image_to_text"] * images.total + ["text_to_image"] * len(texts),
        "index": index,
        "key": [dataset.key(i) for i in index],
        "caption": [*[""] * images.total, *texts],
        "rank": rank,
        "correct": [of_query == 1 for of_query in rank],
    }
