"""A model that sees colours, and shards whose images it can tell apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from cyclip_pl.search.engine import Engine, Side
from cyclip_pl.search.index import image_rows, index_folder, text_rows
from cyclip_pl.search.kept import listing_folder, open_listing
from cyclip_pl.search.server import SearchServer

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


class ColourNet(nn.Module):
    """Embeds the colour of what is not white, and the colour that a text names.

    Attributes:
        images, texts: How many it has encoded.
        ends_at: Raises KeyboardInterrupt before it encodes more images than that.
    """

    scale = 100.0
    images = texts = 0
    ends_at: float = float("inf")

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    @staticmethod
    def preprocess(image: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(image.convert("RGB").resize((16, 16), 0))).permute(2, 0, 1)

    @staticmethod
    def tokenizer(texts: Sequence[str]) -> Tensor:
        named = [next((c for c in COLOURS if c in text), None) for text in texts]
        return torch.tensor([COLOURS[name] if name else (90, 90, 90) for name in named])

    def encode_image(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not self.training
        if self.images + len(images) > self.ends_at:
            raise KeyboardInterrupt
        self.images += len(images)
        ink = (images < 200).any(1, keepdim=True)
        colour_N3 = (images * ink).sum((2, 3)) / ink.sum((2, 3)).clamp(min=1)
        return self._row(colour_N3)

    def encode_text(self, texts: str | Sequence[str] | Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not self.training
        assert not isinstance(texts, str | Tensor)
        self.texts += len(texts)
        return self._row(self.tokenizer(texts).float())

    def _row(self, colour_N3: Tensor) -> Tensor:
        return normalize(colour_N3 / 255 - 0.4 + self.shift, dim=-1)


def engine_of(shards: str | Path, cache: Path, *models: nn.Module) -> Engine:
    """An engine on these shards, through the whole path to the cache."""
    folder = listing_folder([str(shards)], cache)
    folder.mkdir(parents=True, exist_ok=True)
    listing = open_listing([str(shards)], folder)
    sides = []
    for number, model in enumerate(models or [ColourNet()]):
        own = index_folder(model, listing, folder)
        images, texts = image_rows(model, listing, own), text_rows(model, listing.texts, own)
        sides.append(Side(f"model {number}", model, images, texts))
    return Engine(listing, sides)


@contextmanager
def serving(engine: Engine, host: str = "127.0.0.1") -> Iterator[SearchServer]:
    """A server on a free port, in a thread."""
    with SearchServer(host, 0) as server:
        thread = threading.Thread(target=server.serve, args=(engine,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
