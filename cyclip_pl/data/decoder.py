"""Undecoded samples → images and captions, or the reason why not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cyclip_pl import checks
from cyclip_pl.data.jpeg import Jpeg
from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.files import reason
from cyclip_pl.images import EXTENSIONS, decode_image

# Longer than any context; a tokenizer would take minutes for a member of many megabytes.
_MAX_CHARACTERS = 10_000
# `keep` of `jpeg.reduction`; 0 leaves JPEGs to Pillow.
_KEEP = {"faithful": 0, "fast": 2, "draft": 1}


@dataclass(frozen=True)
class Decoder:
    """Turns a sample's bytes into an image and its captions.

    Attributes:
        caption_key: The key of the `json` member that holds the caption or a list of captions;
            None takes the caption from `txt`.
        images: How JPEGs become pixels. "faithful": Pillow decodes and resizes all of the image.
            "fast": libjpeg-turbo decodes the regions that views ask for, letting the codec
            downscale those that remain at least twice the output size; PyTorch resizes them.
            "draft": likewise, those that remain at least the output size.
    """

    caption_key: str | None = None
    images: str = "fast"

    def __post_init__(self) -> None:
        checks.one_of("data.decoder", self.images, _KEEP)

    @property
    def caption_extension(self) -> str:
        return "txt" if self.caption_key is None else "json"

    def expects(self) -> str:
        """What a sample must hold, in words."""
        images = " ".join(f".{extension}" for extension in EXTENSIONS)
        caption = f"data.caption_key={self.caption_key} of .json"
        if self.caption_key is None:
            caption = ".txt; data.caption_key names a key of .json"
        return (
            f"an image ({images}) and a caption ({caption}), side by side in the tar (tar "
            "--sort=name), with one name up to its first dot"
        )

    def __call__(self, sample: RawSample) -> tuple[LazyImage, list[str]]:
        """The image and its captions.

        Raises:
            SkippedSample: The image or the caption is missing or unreadable.
            Undecodable: The image cannot be decoded; a JPEG may raise it only when it is viewed.
        """
        image, captions = self.parts(sample)
        keep = _KEEP[self.images]
        jpeg = Jpeg.open(image, keep) if keep else None
        return jpeg or decode_image(image), captions

    def parts(self, sample: RawSample) -> tuple[bytes, list[str]]:
        """The image's bytes and the captions.

        Raises:
            SkippedSample: The image is missing, or the caption is missing or unreadable.
        """
        if sample.fault is not None:
            raise SkippedSample(*sample.fault)
        if sample.image is None:
            raise SkippedSample("missing image")
        if sample.caption is None:
            raise SkippedSample("missing caption")
        return sample.image, self.captions(sample.caption)

    def captions(self, data: bytes) -> list[str]:
        """The captions in a `txt` or `json` member: one or more, none empty."""
        texts = self._from_text(data) if self.caption_key is None else self._from_json(data)
        captions = [text.strip()[:_MAX_CHARACTERS] for text in texts if text.strip()]
        if not captions:
            raise SkippedSample("empty caption")
        return captions

    def _from_text(self, data: bytes) -> list[str]:
        try:
            return [data.decode("utf-8")]
        except UnicodeDecodeError as error:
            raise SkippedSample("unreadable caption", "not UTF-8") from error

    def _from_json(self, data: bytes) -> list[str]:
        try:
            table = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SkippedSample("unreadable json", reason(error)) from error
        found = table.get(self.caption_key) if isinstance(table, dict) else None
        if found is None:
            raise SkippedSample("missing caption", f"its json has no {self.caption_key!r}")
        texts = [found] if isinstance(found, str) else found
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            detail = f"{self.caption_key!r} is not text or a list of texts"
            raise SkippedSample("missing caption", detail)
        return texts
