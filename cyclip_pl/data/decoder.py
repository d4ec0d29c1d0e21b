"""Undecoded samples -> pictures and captions, or the reason why not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cyclip_pl.data.jpeg import Jpeg
from cyclip_pl.data.lazy_image import Picture
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.files import reason
from cyclip_pl.images import EXTENSIONS, decode_image

# Beyond any context length; a tokenizer would take minutes for a member of many megabytes.
_MAX_CHARACTERS = 10_000
# See `jpeg.reduction`; 0 for none of it.
_KEEP = {"faithful": 0, "fast": 2, "draft": 1}


@dataclass(frozen=True)
class Decoder:
    """Makes a picture and its captions of a sample's bytes.

    Attributes:
        caption_key: None, captions are the text of `txt`; else the key of `json` that holds the
            caption or a list of captions.
        images: "faithful", Pillow decodes and resizes JPEGs as it does other formats; "fast", they
            are decoded as views ask for parts, by libjpeg-turbo, and resized by PyTorch, where the
            codec scales down what stays twice its view's size; "draft", what stays as large.
    """

    caption_key: str | None = None
    images: str = "fast"

    def __post_init__(self) -> None:
        if self.images not in _KEEP:
            raise ValueError(f"data.decoder is one of {', '.join(_KEEP)}, not {self.images!r}")

    @property
    def caption_extension(self) -> str:
        return "txt" if self.caption_key is None else "json"

    def expects(self) -> str:
        """What a sample must hold, in words."""
        images = " ".join(f".{extension}" for extension in EXTENSIONS)
        if self.caption_key is None:
            return (
                f"an image ({images}) and a caption (.txt; data.caption_key names a key of .json)"
            )
        return f"an image ({images}) and a caption (data.caption_key={self.caption_key} of .json)"

    def __call__(self, sample: RawSample) -> tuple[Picture, list[str]]:
        """
        Raises:
            SkippedSample: with its reason. A JPEG may raise it only when it is viewed.
        """
        if sample.image is None:
            raise SkippedSample("missing image")
        if sample.caption is None:
            raise SkippedSample("missing caption")
        captions = self.captions(sample.caption)
        keep = _KEEP[self.images]
        jpeg = Jpeg.open(sample.image, keep) if keep else None
        return jpeg or decode_image(sample.image), captions

    def captions(self, data: bytes) -> list[str]:
        """The captions in the bytes of a `txt` or `json` member, at least one, none empty."""
        texts = [_text(data)] if self.caption_key is None else self._from_json(data)
        captions = [text.strip()[:_MAX_CHARACTERS] for text in texts]
        captions = [caption for caption in captions if caption]
        if not captions:
            raise SkippedSample("empty caption")
        return captions

    def _from_json(self, data: bytes) -> list[str]:
        try:
            table = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SkippedSample("unreadable json", reason(error)) from error
        found = table.get(self.caption_key) if isinstance(table, dict) else None
        if found is None:
            raise SkippedSample("missing caption", f"no {self.caption_key!r} in its json")
        texts = [found] if isinstance(found, str) else found
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise SkippedSample(
                "missing caption", f"{self.caption_key!r} is not text, nor a list of it"
            )
        return texts


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SkippedSample("unreadable caption", "not UTF-8") from error
