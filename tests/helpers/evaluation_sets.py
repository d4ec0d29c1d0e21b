"""Small classification and retrieval sets on disk, and models whose embeddings a test chooses."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

TEMPLATES = ("{c}", "a picture of {c}")


def png(code: int = 0) -> bytes:
    """An 8 x 8 image of one colour, (code % 256, code // 256, 0)."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (code % 256, code // 256, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_set(
    folder: Path,
    shards: Sequence[Sequence[tuple[str, bytes]]],
    classnames: Sequence[str],
    templates: Sequence[str] | None = TEMPLATES,
    split: str = "test",
) -> Path:
    """A set in clip_benchmark's layout, from the files of each of its shards."""
    (folder / split).mkdir(parents=True)
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in classnames))
    if templates is not None:
        path = folder / "zeroshot_classification_templates.txt"
        path.write_text("".join(f"{template}\n" for template in templates))
    (folder / split / "nshards.txt").write_text(f"{len(shards)}\n")
    for number, files in enumerate(shards):
        write_tar(folder / split / f"{number}.tar", files)
    return folder


def coded_set(
    folder: Path,
    labels: Sequence[int],
    classnames: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    broken: Sequence[int] = (),
    shards: int = 2,
    split: str = "test",
    first: int = 0,
) -> Path:
    """A set whose image n is `png(first + n)`, or no image for the numbers in `broken`."""
    files: list[list[tuple[str, bytes]]] = [[] for _ in range(shards)]
    for n, label in enumerate(labels):
        image = b"broken" if n in broken else png(first + n)
        files[n * shards // len(labels)] += [
            (f"s{n:04d}.png", image),
            (f"s{n:04d}.cls", str(label).encode()),
        ]
    return write_set(folder, files, classnames, templates, split)


def caption_set(
    folder: Path,
    captions: Sequence[Sequence[str]],
    broken: Sequence[int] = (),
    shards: int = 2,
) -> Path:
    """A retrieval set whose image n is `png(n)`, or no image at all for the numbers in `broken`."""
    (folder / "test").mkdir(parents=True)
    (folder / "dataset_type.txt").write_text("retrieval\n")
    (folder / "test/nshards.txt").write_text(f"{shards}\n")
    files: list[list[tuple[str, bytes]]] = [[] for _ in range(shards)]
    for n, of_image in enumerate(captions):
        files[n * shards // len(captions)] += [
            (f"s{n:04d}.png", b"broken" if n in broken else png(n)),
            (f"s{n:04d}.txt", "\n".join(of_image).encode()),
        ]
    for number, of_shard in enumerate(files):
        write_tar(folder / "test" / f"{number}.tar", of_shard)
    return folder


def pixels(image: Image.Image) -> Tensor:
    """PIL -> uint8, (3, 8, 8)."""
    return torch.from_numpy(np.array(image.resize((8, 8)))).permute(2, 0, 1)


class TableModel:
    """Embeddings from tables: images by the code of their colour, texts by the prompt."""

    preprocess = staticmethod(pixels)
    scale = 100.0

    def __init__(self, image_ND: Tensor, text_D: dict[str, Tensor]) -> None:
        self.image_ND = image_ND
        self.text_D = text_D
        self.calls: list[int] = []  # prompts in each call

    def tokenizer(self, texts: Sequence[str]) -> Tensor:
        raise AssertionError("evaluations hand strings to encode_text")

    def encode_image(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return self.image_ND[images[:, 0, 0, 0].long() + 256 * images[:, 1, 0, 0].long()]

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not isinstance(texts, Tensor)
        self.calls.append(len(texts))
        return torch.stack([self.text_D[text] for text in texts])


class TinyNet(nn.Module):
    """Two small towers, convolutional with BatchNorm and character-wise, from a seed."""

    preprocess = staticmethod(pixels)
    scale = 100.0

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.image = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(72, 16)
        self.text = nn.EmbeddingBag(128, 16)

    def tokenizer(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[ord(c) % 128 for c in text.ljust(40)[:40]] for text in texts])

    def encode_image(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(self.head(self.image(images.float() / 255)), dim=-1)

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        tokens = texts if isinstance(texts, Tensor) else self.tokenizer(texts)
        return nn.functional.normalize(self.text(tokens), dim=-1)
