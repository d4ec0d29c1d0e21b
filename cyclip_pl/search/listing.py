"""The samples of shards: where each image lies, and its captions; listed once."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from cyclip_pl.data.captions import in_json, in_text, read_json
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.evaluation.sets.texts import text_lines
from cyclip_pl.files import atomic
from cyclip_pl.images import EXTENSIONS, open_image
from cyclip_pl.layout import CLASSNAMES, NSHARDS
from cyclip_pl.search.bar import bar
from cyclip_pl.search.shards import Shard, stamp_of
from cyclip_pl.tar_members import BrokenTar, Member, members
from cyclip_pl.tar_samples import samples

logger = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the stored values change."""

_LARGEST_IMAGE = 1 << 28  # bytes
_LARGEST_TEXT = 1 << 20
_CAPTION_KEYS = ("captions", "caption")


class Listing:
    """N images and their U distinct captions; as `ImageSet` of evaluations, each is read alone.

    Args:
        shards: Where they are.
        place_N3: int64: shard, first byte and number of bytes of each image.
        start_N1: int64: where in `text_M` the captions of each image begin; behind them, M.
        text_M: int64: each caption's number in `texts`.
        keys: The samples' own names.
        texts: The distinct captions.
        skipped: Samples that are left out, by cause.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        place_N3: np.ndarray,
        start_N1: np.ndarray,
        text_M: np.ndarray,
        keys: list[str],
        texts: list[str],
        skipped: dict[str, int],
    ) -> None:
        self.shards = list(shards)
        self.place_N3, self.start_N1, self.text_M = place_N3, start_N1, text_M
        self.keys, self.texts, self.skipped = keys, texts, skipped
        self.name = self.fingerprint = ""

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:
        return self.keys[index]

    def where(self, index: int) -> str:
        return f"{self.shards[self.place_N3[index, 0]].name}, sample {self.keys[index]}"

    def name_of(self, index: int) -> str:
        """`<shard>/<key>`, without the folders of this machine."""
        shard = self.shards[self.place_N3[index, 0]].name.rsplit("/", 1)[-1]
        return f"{shard}/{self.keys[index]}"

    def captions(self, index: int) -> list[int]:
        """The numbers of an image's captions."""
        return self.text_M[self.start_N1[index] : self.start_N1[index + 1]].tolist()

    def data(self, index: int) -> bytes:
        """An image's bytes; ValueError if its shard has changed or is gone."""
        number, offset, size = self.place_N3[index].tolist()
        shard = self.shards[number]
        try:
            with open(shard.path, "rb") as file:
                if stamp_of(file.fileno()) == shard.stamp:
                    file.seek(offset)
                    return file.read(size)
        except OSError:
            pass
        name = shard.path.name  # browsers see it: without the folders of this machine
        raise ValueError(f"{name} has changed since the search began; start it again")

    def image(self, index: int) -> Image.Image:
        return open_image(self.data(index))


def read_listing(path: Path, shards: Sequence[Shard]) -> Listing | None:
    """What `write_listing` has stored; None if it is missing, damaged or of other shards."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            arrays = [stored[name] for name in ("place_N3", "start_N1", "text_M")]
    except Exception:  # numpy, zipfile and json each have errors of their own
        return None
    if about.pop("stamps") != stamps(shards):
        return None
    return Listing(shards, *arrays, **about)


def write_listing(path: Path, listing: Listing) -> None:
    """Store a listing: whole or not at all."""
    about = {"stamps": stamps(listing.shards)}
    about |= {name: getattr(listing, name) for name in ("keys", "texts", "skipped")}
    arrays = {name: getattr(listing, name) for name in ("place_N3", "start_N1", "text_M")}
    text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, about=text, **arrays)


def stamps(shards: Sequence[Shard]) -> list[Any]:
    """What tells these shards, as they are now, from all others; in plain containers."""
    return [VERSION, *([str(shard.path), *shard.stamp] for shard in shards)]


def make_listing(
    shards: Sequence[Shard], caption_key: str | None = None, limit: int | None = None
) -> Listing:
    """Read the headers and captions of all shards, and no image.

    The end of a damaged shard is left out, and the log tells. A sample without a caption counts.

    Args:
        caption_key: The key of `json` members with the caption or captions; None takes the caption
            from `txt`, else from `json` by the usual keys, else the class name of `cls`.
        limit: The number of images to stop at.

    Raises:
        ValueError: There is no image, or a file beside the shards is not what it must be.
    """
    places: list[tuple[int, int, int]] = []
    starts: list[int] = [0]
    numbers: list[int] = []
    keys: list[str] = []
    texts: dict[str, int] = {}
    skipped = Counter[str]()
    with bar() as shown:
        found = (
            (number, *sample)
            for number, shard in enumerate(shown.track(shards, description="listing shards"))
            for sample in _samples(shard, caption_key, skipped)
        )
        for number, key, image, captions in islice(found, limit):
            places.append((number, image.offset, image.size))
            keys.append(key)
            # JSON can hold halves of a character, which no tokenizer takes.
            whole = (caption.encode("utf-8", "replace").decode() for caption in captions)
            numbers += [texts.setdefault(caption, len(texts)) for caption in whole]
            starts.append(len(numbers))
    if not keys:
        more = f"; skipped: {dict(skipped)}" if skipped else ""
        raise ValueError(f"shards: no images in {shards[0].name} and {len(shards)} in all{more}")
    place_N3, start_N1, text_M = (
        np.array(values, dtype=np.int64) for values in (places, starts, numbers)
    )
    return Listing(shards, place_N3, start_N1, text_M, keys, list(texts), dict(skipped))


def _samples(
    shard: Shard, caption_key: str | None, skipped: Counter[str]
) -> Iterator[tuple[str, Member, list[str]]]:
    """Name, image and captions of each sample."""
    captions = _Captions(shard, caption_key)
    with open(shard.path, "rb") as file:
        try:
            for sample in samples(members(file)):
                found = {kind: one for kind, one in sample.members.items() if not one.lacks}
                image = next((found[kind] for kind in EXTENSIONS if kind in found), None)
                if image is None or image.size > _LARGEST_IMAGE:
                    skipped["no image"] += not sample.last
                    continue
                place = file.tell()
                try:
                    read = captions(found, file)
                except SkippedSample as error:
                    skipped[str(error.reason)] += 1
                    read = []
                file.seek(place)
                yield sample.key, image, read
        except BrokenTar as error:
            logger.warning("%s: the rest is left out: %s", shard.name, error)
            skipped[error.cause] += 1


class _Captions:
    """The captions of a shard's samples."""

    def __init__(self, shard: Shard, caption_key: str | None) -> None:
        folder = Path(local).parent if os.path.exists(local := shard.name) else shard.path.parent
        # In clip_benchmark's layout a text has a caption per line; in training it is one caption.
        self._by_line = (folder / NSHARDS).is_file()
        names = folder.parent / CLASSNAMES
        self._names = text_lines(names) if self._by_line and names.is_file() else []
        self._keys = [caption_key] if caption_key else _CAPTION_KEYS
        self._only_json = caption_key is not None

    def __call__(self, found: dict[str, Member], file: BinaryIO) -> list[str]:
        if not self._only_json and "txt" in found:
            texts = in_text(_bytes(found["txt"], file))
            return [line for text in texts for line in _lines(text)] if self._by_line else texts
        if "json" in found:
            table = read_json(_bytes(found["json"], file))
            for key in self._keys[:-1]:
                try:
                    return in_json(table, key)
                except SkippedSample:
                    continue
            return in_json(table, self._keys[-1])
        if "cls" in found and not self._only_json:
            number = _bytes(found["cls"], file).strip()
            if number.isdigit() and len(number) < 10 and int(number) < len(self._names):
                return [self._names[int(number)]]
        raise SkippedSample("missing caption")


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


def _bytes(member: Member, file: BinaryIO) -> bytes:
    if member.size > _LARGEST_TEXT:
        raise SkippedSample("text too large")
    file.seek(member.offset)
    return file.read(member.size)
