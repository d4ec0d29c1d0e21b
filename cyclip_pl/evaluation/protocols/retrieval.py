"""Retrieval both ways between images and captions, several captions to an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import gather_rows
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.examples import FOUND, QUERIES, bits, cut, hits, spread
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.neighbours import nearest_of_blocks
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
        rows = _predictions(dataset, images, recall.image_ranks, recall.text_ranks)
        gallery, shown = _gallery(dataset, images, rows, store)
        results.add(
            dataset.name,
            self.name,
            {
                **metrics,
                "samples": images.total,
                "captions": sum(map(len, captions)),
                "skipped": self.skipped(dataset, images),
            },
            {
                "protocol": self.protocol(ties="count against"),
                "hits": self._hits(dataset, images, metrics, rows),
                "gallery": gallery,
            },
            rows,
            shown,
        )

    def _hits(
        self,
        dataset: CaptionSet,
        images: EncodedImages,
        metrics: Mapping[str, Any],
        rows: Mapping[str, Sequence[Any]],
    ) -> dict[str, Any]:
        """`examples.hits` of the images as queries, and the `bits` of `texts` as queries.

        `texts_of_image` says how many of them are each image's, in the images' order.
        """
        rank_Q, names = torch.tensor(rows["rank"]), ("image_to_text", "text_to_image")
        by_way = {
            way: {
                f"{way}_r{k}": bits(rank_of_way <= k)
                for k in self.recall_at
                if f"{way}_r{k}" in metrics
            }
            for way, rank_of_way in zip(
                names, (rank_Q[: images.total], rank_Q[images.total :]), strict=True
            )
        }
        counts = [len(dataset.captions[i]) for i in rows["index"][: images.total]]
        return {
            **hits(dataset, images, {}),
            "images": by_way["image_to_text"],
            "texts": by_way["text_to_image"],
            "texts_of_image": counts,
        }


def _gallery(
    dataset: CaptionSet,
    images: EncodedImages,
    rows: Mapping[str, Sequence[Any]],
    store: FeatureStore,
) -> tuple[list[dict[str, Any]], dict[str, Callable[[], Image]]]:
    """A few captions with the images nearest to them, and all of these images by name.

    `image` is a caption's own, `rank` its rank.
    """
    index, total = rows["index"][: images.total], images.total
    first = [*accumulate((len(dataset.captions[i]) for i in index), initial=total)]
    queries = spread(total, QUERIES)
    text_qD = store.texts([dataset.captions[index[n]][0] for n in queries])
    passing = images.passing_by(images.rows.embedding_nD)
    near = nearest_of_blocks(text_qD, passing, min(FOUND, total), store.double_device)
    gallery: list[dict[str, Any]] = []
    for n, cosine_k, number_k in zip(queries, *(x.tolist() for x in near), strict=True):
        found = [
            {"image": str(index[m]), "cosine": round(cosine, 4), "right": m == n}
            for cosine, m in zip(cosine_k, number_k, strict=True)
        ]
        caption, rank = dataset.captions[index[n]][0], rows["rank"][first[n]]
        one = {"image": str(index[n]), "text": cut(caption), "rank": rank, "found": found}
        gallery.append(one)
    names = {one["image"] for query in gallery for one in (query, *query["found"])}
    return gallery, {name: partial(dataset.image, int(name)) for name in sorted(names, key=int)}


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
