"""One query, several models: the images and captions that each of them finds."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cyclip_pl.evaluation.features.encode import device_of
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.images import decode_image, open_image
from cyclip_pl.search.listing import Listing, stamps
from cyclip_pl.search.nearest import nearest_to
from cyclip_pl.types import Model

LONGEST_TEXT = 1000
"""Characters of a query; more than any context holds."""

_SMALL = 256  # pixels; up to here an image is sent without loss
_SHOWN = 24  # images and captions that a page without a query shows


@dataclass
class Side:
    """A model that is searched with, and its embeddings of all images and captions."""

    name: str
    model: Model
    image_ND: np.ndarray
    text_UD: np.ndarray

    def __post_init__(self) -> None:
        device = device_of(self.model)
        self.images = nearest_to(self.image_ND, device)
        self.texts = nearest_to(self.text_UD, device)


class Engine:
    """Answers queries in plain containers; safe to call from several threads.

    Args:
        listing: What is searched.
        sides: The models, one or more.
    """

    def __init__(self, listing: Listing, sides: Sequence[Side]) -> None:
        self.listing = listing
        self.sides = list(sides)
        # The first image of each caption stands for it.
        self._image_of = np.zeros(len(listing.texts), dtype=np.int64)
        owner_M = np.repeat(np.arange(len(listing)), np.diff(listing.start_N1))
        self._image_of[listing.text_M[::-1]] = owner_M[::-1]
        self._encoding = threading.Lock()

    def about(self) -> dict[str, Any]:
        """What there is: models, numbers, and a few images and captions spread over all."""
        number, texts = len(self.listing), self.listing.texts
        sound = self.sides[0].images.number_n
        place = np.linspace(0, max(len(sound) - 1, 0), min(_SHOWN, len(sound))).astype(int)
        spread = sound[place].tolist()
        examples = [self.listing.captions(index)[:1] for index in spread]
        return {
            "version": hashlib.sha256(repr(stamps(self.listing.shards)).encode()).hexdigest()[:12],
            "models": [side.name for side in self.sides],
            "images": number,
            "captions": len(texts),
            "undecodable": number - min(len(side.images) for side in self.sides),
            "some": [self._image(index) for index in spread],
            "examples": list(dict.fromkeys(texts[one] for ones in examples for one in ones))[:6],
        }

    def by_text(self, text: str, k: int) -> dict[str, Any]:
        """The images nearest to a caption."""
        text = text[:LONGEST_TEXT]
        queries = [self._encoded(side, text) for side in self.sides]
        found = [side.images(query, k) for side, query in zip(self.sides, queries, strict=True)]
        return {"models": [self._model(*one, []) for one in zip(self.sides, found, strict=True)]}

    def by_image(self, index: int, k: int) -> dict[str, Any]:
        """The images and captions nearest to one of the images; IndexError if there is none."""
        if not 0 <= index < len(self.listing):
            raise IndexError(index)
        queries = [torch.from_numpy(side.image_ND[index].astype(np.float32)) for side in self.sides]
        own = set(self.listing.captions(index))
        return {"query": self._image(index)} | self._by_queries(queries, k, index, own)

    def by_bytes(self, data: bytes, k: int) -> dict[str, Any]:
        """The images and captions nearest to an image of the user's; raises `Undecodable`."""
        image = open_image(data)
        queries = [self._encoded(side, image) for side in self.sides]
        return self._by_queries(queries, k, None, set())

    def thumbnail(self, index: int, side: int) -> tuple[str, bytes]:
        """Media type and bytes of an image of at most `side` pixels per side.

        Raises:
            IndexError: There is no such image.
            Undecodable: It is broken.
            ValueError: Its shard has changed.
        """
        if not 0 <= index < len(self.listing):
            raise IndexError(index)
        image = decode_image(self.listing.data(index))
        small = max(image.size) <= _SMALL
        image.thumbnail((side, side))
        stream = io.BytesIO()
        if small:
            image.save(stream, "PNG")
            return "image/png", stream.getvalue()
        image.save(stream, "JPEG", quality=88)
        return "image/jpeg", stream.getvalue()

    def _encoded(self, side: Side, query: Any) -> Tensor:
        with self._encoding, evaluation_mode(side.model):
            if isinstance(query, str):
                return side.model.encode_text([query])[0].float().cpu()
            pixels = side.model.preprocess(query)[None].to(device_of(side.model))
            return side.model.encode_image(pixels)[0].float().cpu()

    def _by_queries(
        self, queries: Sequence[Tensor], k: int, left_out: int | None, own: set[int]
    ) -> dict[str, Any]:
        models = []
        for side, query in zip(self.sides, queries, strict=True):
            images = [one for one in side.images(query, k + 1) if one[0] != left_out][:k]
            captions = [
                {
                    "text": self.listing.texts[number],
                    "cosine": round(cosine, 4),
                    "image": int(self._image_of[number]),
                    "own": number in own,
                }
                for number, cosine in side.texts(query, k)
            ]
            models.append(self._model(side, images, captions))
        return {"models": models}

    def _model(
        self, side: Side, images: Sequence[tuple[int, float]], captions: list[dict[str, Any]]
    ) -> dict[str, Any]:
        found = [self._image(number) | {"cosine": round(cosine, 4)} for number, cosine in images]
        return {"name": side.name, "images": found, "captions": captions}

    def _image(self, index: int) -> dict[str, Any]:
        texts = [self.listing.texts[number] for number in self.listing.captions(index)]
        return {"id": index, "captions": texts, "name": self.listing.name_of(index)}
