"""Undecoded samples → images and captions, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cyclip_pl import checks
from cyclip_pl.data.captions import TXT, Captions
from cyclip_pl.data.jpeg import Jpeg
from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.images import EXTENSIONS, decode_image

# `keep` of `jpeg.reduction`; 0 leaves JPEGs to Pillow.
_KEEP = {"faithful": 0, "fast": 2, "draft": 1}


@dataclass(frozen=True)
class Decoder:
    """Turns a sample's bytes into an image and its captions.

    Attributes:
        caption_key: The key of the `json` member that holds the caption or a list of captions;
            None or `txt` takes the caption from the `txt` member. Or several keys with weights.
        images: How JPEGs become pixels. "faithful": Pillow decodes and resizes all of the image.
            "fast": libjpeg-turbo decodes the regions that views ask for, letting the codec
            downscale those that remain at least twice the output size; PyTorch resizes them.
            "draft": likewise, those that remain at least the output size.
    """

    caption_key: str | Mapping[str, float] | None = None
    images: str = "fast"

    def __post_init__(self) -> None:
        checks.one_of("data.decoder", self.images, _KEEP)
        assert self.captions  # its own checks

    @cached_property
    def captions(self) -> Captions:
        key = self.caption_key
        return Captions(key if isinstance(key, Mapping) else {key or TXT: 1.0})

    def expects(self) -> str:
        """What a sample must hold, in words."""
        images = " ".join(f".{extension}" for extension in EXTENSIONS)
        caption = f"data.caption_key={self.caption_key} of .json"
        if isinstance(self.caption_key, Mapping):
            named = (".txt" if key == TXT else f"{key} of .json" for key in self.caption_key)
            caption = f"data.caption_keys: {' or '.join(named)}"
        elif self.caption_key in (None, TXT):
            caption = ".txt; data.caption_key names a key of .json"
        return (
            f"an image ({images}) and a caption ({caption}), side by side in the tar (tar "
            "--sort=name), with one name up to its first dot"
        )

    def __call__(self, sample: RawSample) -> tuple[LazyImage, dict[str, list[str]]]:
        """The image and its captions by key.

        Raises:
            SkippedSample: The image or the caption is missing or unreadable.
            Undecodable: The image cannot be decoded; a JPEG may raise it only when it is viewed.
        """
        image, captions = self.parts(sample)
        keep = _KEEP[self.images]
        jpeg = Jpeg.open(image, keep) if keep else None
        return jpeg or decode_image(image), captions

    def parts(self, sample: RawSample) -> tuple[bytes, dict[str, list[str]]]:
        """The image's bytes and the captions by key.

        Raises:
            SkippedSample: The image is missing, or the caption is missing or unreadable.
        """
        if sample.fault is not None:
            raise SkippedSample(*sample.fault)
        if sample.image is None:
            raise SkippedSample("missing image")
        return sample.image, self.captions(sample.texts)
