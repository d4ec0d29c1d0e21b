"""Undecoded samples -> pictures and captions, or the reason why not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from PIL import Image

from cyclip_pl.data.images import TooLarge, decode_image
from cyclip_pl.data.raw import IMAGE_EXTENSIONS, RawSample

# Beyond any context length; a tokenizer would take minutes for a member of many megabytes.
_MAX_CHARACTERS = 10_000


class Unusable(Exception):
    """A sample to leave out.

    Attributes:
        reason: what it is counted under in `Batch.skipped`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Decoder:
    """Makes a picture and its captions of a sample's bytes.

    Attributes:
        caption_key: None, captions are the text of `txt`; else the key of `json` that holds the
            caption or a list of captions.
    """

    caption_key: str | None = None

    @property
    def caption_extension(self) -> str:
        return "txt" if self.caption_key is None else "json"

    def expects(self) -> str:
        """What a sample must hold, in words."""
        images = " ".join(f".{extension}" for extension in IMAGE_EXTENSIONS)
        if self.caption_key is None:
            return (
                f"an image ({images}) and a caption (.txt; data.caption_key names a key of .json)"
            )
        return f"an image ({images}) and a caption (data.caption_key={self.caption_key} of .json)"

    def __call__(self, sample: RawSample) -> tuple[Image.Image, list[str]]:
        """
        Raises:
            Unusable: with its reason.
        """
        if sample.image is None:
            raise Unusable("missing image")
        if sample.caption is None:
            raise Unusable("missing caption")
        captions = self.captions(sample.caption)
        try:
            return decode_image(sample.image), captions
        except TooLarge as error:
            raise Unusable("image too large", str(error)) from error
        except Exception as error:  # Pillow raises nearly anything for broken bytes
            raise Unusable("undecodable image", _first_line(error)) from error

    def captions(self, data: bytes) -> list[str]:
        """The captions in the bytes of a `txt` or `json` member, at least one, none empty."""
        texts = [_text(data)] if self.caption_key is None else self._from_json(data)
        captions = [text.strip()[:_MAX_CHARACTERS] for text in texts]
        captions = [caption for caption in captions if caption]
        if not captions:
            raise Unusable("empty caption")
        return captions

    def _from_json(self, data: bytes) -> list[str]:
        try:
            table = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Unusable("unreadable json", _first_line(error)) from error
        found = table.get(self.caption_key) if isinstance(table, dict) else None
        if found is None:
            raise Unusable("missing caption", f"no {self.caption_key!r} in its json")
        texts = [found] if isinstance(found, str) else found
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Unusable("missing caption", f"{self.caption_key!r} is not text, nor a list of it")
        return texts


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable("unreadable caption", "not UTF-8") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
