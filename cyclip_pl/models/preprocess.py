"""What turns images into what a model encodes: one of them or many, in memory or in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.files import reason
from cyclip_pl.images import Undecodable, open_image

OneImage = Image.Image | str | Path | Tensor
"""An image in memory, the path of an image file, or an image that is preprocessed, (3, H, W)."""
Images = OneImage | Sequence[OneImage]


class Preprocess:
    """A PIL image → (3, H, W); a list of N → (N, 3, H, W).

    It can be pickled, for the workers of a `DataLoader`.

    Args:
        transform: A PIL image of any mode → (3, H, W).
    """

    def __init__(self, transform: Callable[[Image.Image], Tensor]) -> None:
        self.transform = transform

    def __call__(self, images: Images) -> Tensor:
        """Preprocess an image, or a list of one or more.

        An image may be a path; as everywhere here, EXIF orientation is ignored. A tensor counts as
        preprocessed and stays as it is.

        Raises:
            ValueError: A file that is missing or not an image, or another type; one line.
        """
        if isinstance(images, list | tuple):
            return torch.stack([self._one(image) for image in images])
        return self._one(images)

    def _one(self, image: Any) -> Tensor:
        if isinstance(image, Tensor):
            return image
        if isinstance(image, str | Path):
            image = _read(Path(image).expanduser())
        if not isinstance(image, Image.Image):
            raise ValueError(
                f"images: {type(image).__name__} is not read; give PIL images, paths or tensors"
            )
        return self.transform(image)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transform!r})"


def _read(path: Path) -> Image.Image:
    try:
        return open_image(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or reason(error)}") from error
    except Undecodable as error:
        raise ValueError(f"{path}: {error}") from error
