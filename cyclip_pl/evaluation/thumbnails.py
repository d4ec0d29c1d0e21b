"""Small copies of the images that details name, so that a report needs no data set."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL.Image import Image

from cyclip_pl import files
from cyclip_pl.images import to_rgb

logger = logging.getLogger(__name__)

SIDE = 96  # pixels at most
_SUFFIX = ".webp"


def write_thumbnails(folder: Path, images: Mapping[str, Callable[[], Image]]) -> None:
    """Write each image as `<name>.webp`, in place of all that the folder had.

    An image that cannot be read again is left out, with a warning: metrics do not depend on it.
    """
    for old in folder.glob(f"*{_SUFFIX}"):
        old.unlink()
    for name, read in images.items():
        try:
            content = _thumbnail(read())
        except (OSError, ValueError) as error:
            logger.warning("%s: no thumbnail: %s", folder / name, files.reason(error))
            continue
        with files.atomic(folder / f"{name}{_SUFFIX}") as partial:
            partial.write_bytes(content)


def _thumbnail(image: Image) -> bytes:
    small = to_rgb(image).copy()
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80)
    return out.getvalue()
