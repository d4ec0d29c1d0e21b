"""Captioned images in clip_benchmark's layout: `<key>.txt` holds one caption per line."""

from __future__ import annotations

from pathlib import Path

from cyclip_pl.evaluation.sets.image_shards import ImageShards


class CaptionSet(ImageShards):
    """Images with one or more captions each; arguments and errors as of `ImageShards`.

    Attributes:
        captions: The captions of each sample, in the order of its file; stripped, empty lines
            left out.
    """

    kind, suffix, text_bytes = "retrieval", "txt", 1 << 20

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        super().__init__(folder, split, name)
        self.captions = [self._captions(where, text) for where, text in self._index()]

    def _captions(self, where: str, text: bytes) -> list[str]:
        if len(text) == self.text_bytes:
            raise ValueError(f"{where} holds more than {self.text_bytes} bytes")
        try:
            lines = text.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{where} is not UTF-8 text: {error}") from error
        captions = [caption for line in lines if (caption := line.strip())]
        if not captions:
            raise ValueError(f"{where} holds no caption")
        return captions
