"""One image file of a stranger: read, checked, turned upright, resized if asked for."""

from __future__ import annotations

import io
import stat
from pathlib import Path

from PIL import Image, ImageOps

from cyclip_pl.files import reason
from cyclip_pl.images import FORMATS, Undecodable, open_image
from cyclip_pl.tar_members import LARGEST_MEMBER

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright


def read_image(path: Path, shorter_side: int | None = None) -> tuple[str, bytes]:
    """`read_file`, then `usable_image`."""
    return usable_image(read_file(path), shorter_side)


def read_file(path: Path) -> bytes:
    """The bytes of a file that training would read.

    Raises:
        ValueError: It is missing, not a regular file, or too large; one line without the path.
    """
    try:
        status = path.stat()
        # A pipe or a device would never end.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a file")
        if status.st_size > LARGEST_MEMBER:
            raise ValueError(f"file over {LARGEST_MEMBER >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError("missing file") from None
    except OSError as error:
        raise ValueError(f"unreadable file: {error.strerror}") from None


def usable_image(content: bytes, shorter_side: int | None = None) -> tuple[str, bytes]:
    """The member extension and the bytes of an image that training can decode.

    The bytes are the file's own, but for two cases. An image that its EXIF orientation turns is
    turned upright, since training ignores the tag. An image larger than `shorter_side`, in pixels,
    is resized (bicubic). Both are encoded again in their own format, JPEG and WebP at quality 95.

    Raises:
        ValueError: Not an image that training reads; one line.
    """
    try:
        image = open_image(content)
    except Undecodable as error:
        raise ValueError(f"{error.reason}: {error}") from None
    kind = image.format or ""
    turned = _orientation(image) in range(2, 9)
    larger = shorter_side is not None and min(image.size) > shorter_side
    if turned or larger:
        try:
            upright = ImageOps.exif_transpose(image) if turned else image
            content = _encoded(upright, kind, shorter_side if larger else None)
        except Exception as error:  # damaged EXIF data raise almost anything
            raise ValueError(f"cannot be written again as {kind}: {reason(error)}") from None
    return FORMATS[kind][0], content


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise almost anything, and training does not read them
        return 1


def _encoded(image: Image.Image, kind: str, shorter_side: int | None) -> bytes:
    if image.mode in ("P", "1"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if shorter_side is not None:
        scale = shorter_side / min(image.size)
        width, height = (max(shorter_side, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    kept = ("exif", "icc_profile") if kind != "GIF" else ()
    settings = {key: image.info[key] for key in kept if image.info.get(key)}
    quality = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    out = io.BytesIO()
    image.save(out, kind, **settings, **quality)
    return out.getvalue()
