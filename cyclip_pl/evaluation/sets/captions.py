"""Captioned images in clip_benchmark's layout: `<key>.txt` holds one caption per line."""

from __future__ import annotations

from pathlib import Path

from cyclip_pl.evaluation.sets.image_shards import ImageShards, check_folder

_CAPTION_BYTES = 1 << 20


class CaptionSet(ImageShards):
    """Images with one or more captions each.

    Opening reads every caption and the place of every image, but no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside `folder`.
        name: The first part of its metrics' keys; the folder's name if None.

    Attributes:
        captions: The captions of each sample, in the order of its file; stripped, empty lines
            left out.

    Raises:
        Unusable: It has no such split, or no captions.
        ValueError: One line that names the file at fault.
    """

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        super().__init__(Path(folder), split, name)
        check_folder(self.folder, split, "retrieval")
        self.captions = [
            _captions(shard, key, text) for shard, key, text in self._index("txt", _CAPTION_BYTES)
        ]


def _captions(shard: Path, key: str, text: bytes | None) -> list[str]:
    if text is None:
        raise ValueError(f"{shard}: sample {key} has an image but no .txt")
    if len(text) == _CAPTION_BYTES:
        raise ValueError(f"{shard}: {key}.txt holds more than {_CAPTION_BYTES} bytes")
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{shard}: {key}.txt is not UTF-8 text: {error}") from error
    captions = [caption for line in lines if (caption := line.strip())]
    if not captions:
        raise ValueError(f"{shard}: {key}.txt holds no caption")
    return captions
