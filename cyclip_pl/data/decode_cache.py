"""Small images, decoded once."""

from __future__ import annotations

from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.shard_reader import RawSample

# Emoji at 64 pixels take 25 MB in all.
_BYTES = 1 << 26


class DecodeCache:
    """A decoder that keeps the first 64 MiB of images that it decoded, with their captions.

    For sets that are read many times: decoding small images is half the reader's work. Views must
    not change the image in place; Pillow's operations do not.
    """

    def __init__(self, decoder: Decoder, budget: int = _BYTES) -> None:
        self._decoder = decoder
        self._left = budget
        self._held: dict[tuple[str, int], tuple[LazyImage, dict[str, list[str]]]] = {}

    def __call__(self, sample: RawSample) -> tuple[LazyImage, dict[str, list[str]]]:
        """As `Decoder.__call__`."""
        place = sample.url, sample.place  # two samples may have one key
        held = self._held.get(place)
        if held is not None:
            return held
        image, captions = self._decoder(sample)
        # Pillow takes four bytes a pixel, and so does a JPEG decoded at all its scales.
        size = 4 * image.size[0] * image.size[1]
        if size <= self._left:
            self._left -= size
            self._held[place] = image, captions
        return image, captions
