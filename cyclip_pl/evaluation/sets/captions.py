"""Captioned images in the WebDataset layout that `clip_benchmark` has for retrieval.

<folder>/dataset_type.txt     retrieval (may be missing)
<folder>/<split>/             shards, see `image_shards`, with <key>.txt: a caption a line
"""

from __future__ import annotations

from pathlib import Path

from cyclip_pl.evaluation.sets.image_shards import ImageShards, check_folder

_CAPTION_BYTES = 1 << 20


class CaptionSet(ImageShards):
    """Images with one or more captions each; any image can be read alone.

    Opening reads every caption and where every image lies, and no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside it.
        name: What figures call it; the folder's name if None.

    Attributes:
        folder: Where it is.
        name: What figures call it.
        captions: Of each sample, in the order of the file; stripped, without empty lines.

    Raises:
        ValueError: One line that names the file at fault.
    """

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        super().__init__(Path(folder), split, name)
        check_folder(self.folder, split, "retrieval", f"{split}/nshards.txt")
        self.captions = [
            _captions(shard, key, text) for shard, key, text in self._index("txt", _CAPTION_BYTES)
        ]


def _captions(shard: Path, key: str, text: bytes | None) -> list[str]:
    if text is None:
        raise ValueError(f"{shard}: sample {key} has an image and no .txt")
    if len(text) == _CAPTION_BYTES:
        raise ValueError(f"{shard}: {key}.txt is longer than captions are, {_CAPTION_BYTES} bytes")
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{shard}: {key}.txt is not UTF-8 text: {error}") from error
    captions = [caption for line in lines if (caption := line.strip())]
    if not captions:
        raise ValueError(f"{shard}: {key}.txt holds no caption")
    return captions
