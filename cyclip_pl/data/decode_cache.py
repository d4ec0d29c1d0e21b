"""Decode once what is small enough to hold."""

from __future__ import annotations

from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.lazy_image import Picture
from cyclip_pl.data.shard_reader import RawSample

# Decoded pictures that a reader holds; emoji at 64 px are 25 MB in all.
_BYTES = 1 << 26


class DecodeCache:
    """A decoder that holds the first 64 MiB of pictures that it decoded, with their captions.

    For sets that are read many times over: of small pictures decoding is half the reader's work.
    Views must not change what they are given, which Pillow's operations do not.
    """

    def __init__(self, decoder: Decoder, budget: int = _BYTES) -> None:
        self._decoder = decoder
        self._left = budget
        self._held: dict[tuple[str, str], tuple[Picture, list[str]]] = {}

    def __call__(self, sample: RawSample) -> tuple[Picture, list[str]]:
        """As `Decoder.__call__`, and raising what it raises."""
        place = sample.url, sample.key
        held = self._held.get(place)
        if held is not None:
            return held
        picture, captions = self._decoder(sample)
        # Pillow takes four bytes a pixel, and so does a JPEG decoded at all its scales.
        size = 4 * picture.size[0] * picture.size[1]
        if size <= self._left:
            self._left -= size
            self._held[place] = picture, captions
        return picture, captions
