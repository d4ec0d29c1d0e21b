"""A model's embeddings of a listing, in a folder: made once, in blocks that outlive a kill."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.evaluation.features.cache import model_fingerprint
from cyclip_pl.evaluation.features.encode import device_of, encode_images, encode_texts
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.files import atomic
from cyclip_pl.search.bar import bar
from cyclip_pl.search.listing import Listing, stamps
from cyclip_pl.types import Model

BLOCK = 1024
"""Rows that are stored at once, and at most lost by a kill."""

_NAMED_AT_MOST = 3  # broken images, in the log
_PROBE = "A photo of 2 red apples, café."


def index_folder(model: Model, listing: Listing, folder: Path) -> Path:
    """Where the model's embeddings of a listing are kept, inside `folder`.

    Its name hashes the weights, the preprocessing, the tokenizer and the stamps of the shards.
    """
    tokens = model.tokenizer([_PROBE]).tolist()
    mark = f"{model_fingerprint(model)} {tokens} {stamps(listing.shards)}"
    return folder / hashlib.sha256(mark.encode()).hexdigest()[:24]


def image_rows(
    model: Model, listing: Listing, folder: Path, batch_size: int = 128, workers: int = 0
) -> np.ndarray:
    """The embeddings of all images, float16, (N, D): a memory map of a file in `folder`.

    Unit-norm rows, and NaN for an image that cannot be decoded; the log names some of these.

    Args:
        batch_size: Images encoded at once.
        workers: Processes that decode images; 0 decodes in this one.
    """
    broken = 0

    def encode(block: range, told: _Told) -> Tensor:
        nonlocal broken
        part, named = _Part(listing, block), max(0, _NAMED_AT_MOST - broken)
        rows, _ = encode_images(told, part, min(batch_size, BLOCK), workers, named=named)
        broken += len(block) - len(rows)
        row_bD = torch.full((len(block), rows.embedding_nD.shape[1]), torch.nan)
        row_bD[rows.index_n] = rows.embedding_nD
        return row_bD

    return _rows(model, folder / "images.npy", len(listing), encode)


def text_rows(
    model: Model, texts: Sequence[str], folder: Path, batch_size: int = 128
) -> np.ndarray:
    """The embeddings of U texts, float16, (U, D), likewise."""

    def encode(block: range, told: _Told) -> Tensor:
        return encode_texts(told, texts[block.start : block.stop], batch_size)

    return _rows(model, folder / "texts.npy", len(texts), encode)


def _rows(
    model: Model, path: Path, total: int, encode: Callable[[range, _Told], Tensor]
) -> np.ndarray:
    """The rows in `path`; those that are missing are made, a block at a time."""
    if (whole := _stored(path, total)) is not None:
        return whole
    parts = path.with_suffix(".parts")
    blocks = [range(start, min(start + BLOCK, total)) for start in range(0, total, BLOCK)]
    with bar() as shown, evaluation_mode(model):
        task = shown.add_task(f"encoding {path.stem}", total=total)
        told = _Told(model, lambda count: shown.advance(task, count))
        for block in blocks:
            part = _part_path(parts, block)
            if _stored(part, len(block)) is None:
                row_bD = encode(block, told).half().numpy()
                with atomic(part) as partial, open(partial, "wb") as file:
                    np.save(file, row_bD)
            shown.update(task, completed=block.stop)
    stored = [np.load(_part_path(parts, block), mmap_mode="r") for block in blocks]
    with atomic(path) as partial:
        shape = (total, stored[0].shape[1] if stored else 0)
        joined = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        for block, row_bD in zip(blocks, stored, strict=True):
            joined[block.start : block.stop] = row_bD
        joined.flush()
    shutil.rmtree(parts, ignore_errors=True)
    return np.load(path, mmap_mode="r")


def _part_path(parts: Path, block: range) -> Path:
    return parts / f"{block.start:09d}.npy"


def _stored(path: Path, total: int) -> np.ndarray | None:
    """The float16 rows in a file; None if it is missing or damaged."""
    try:
        rows = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.dtype == np.float16 and rows.ndim == 2 and len(rows) == total else None


class _Part:
    """Some neighbouring samples of a listing, as an `ImageSet`."""

    def __init__(self, listing: Listing, block: range) -> None:
        self.listing, self.block = listing, block
        self.name = self.fingerprint = ""

    def __len__(self) -> int:
        return len(self.block)

    def key(self, index: int) -> str:
        return self.listing.key(self.block[index])

    def where(self, index: int) -> str:
        return self.listing.where(self.block[index])

    def image(self, index: int) -> Image.Image:
        return self.listing.image(self.block[index])


class _Told:
    """A `Model` that tells how many rows it has encoded."""

    def __init__(self, model: Model, advance: Callable[[int], None]) -> None:
        self._model, self._advance = model, advance
        self.preprocess, self.tokenizer, self.scale = model.preprocess, model.tokenizer, model.scale
        self.device = device_of(model)

    def encode_image(self, images: Tensor) -> Tensor:
        row_ND = self._model.encode_image(images)
        self._advance(len(row_ND))
        return row_ND

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        row_ND = self._model.encode_text(texts)
        self._advance(len(row_ND))
        return row_ND
