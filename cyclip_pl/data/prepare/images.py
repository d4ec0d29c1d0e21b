"""One image file of a stranger: read, verified, resized if asked for."""

from __future__ import annotations

import io
import stat
from pathlib import Path

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
}
"""The formats that are opened, and what a member of each is called. Pillow knows more, among
them some that start other programs."""


def read_image(path: Path, shorter_side: int | None = None) -> tuple[str, bytes]:
    """Extension and bytes of a decodable image.

    The bytes are the file's own, unless it is larger than `shorter_side`, in pixels: then it is
    resized (bicubic) and encoded again in its own format, JPEG and WebP at quality 95.

    Raises:
        ValueError: missing, not a regular file, or not decodable; one line without the path.
    """
    from PIL import Image

    try:
        # A pipe or a device would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("not a file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError("missing file") from None
    except OSError as error:
        raise ValueError(f"unreadable file: {error.strerror}") from None
    try:
        with Image.open(io.BytesIO(content), formats=tuple(EXTENSIONS)) as image:
            image.load()
            extension = EXTENSIONS[image.format or ""]
            if shorter_side is not None and min(image.size) > shorter_side:
                content = _resized(image, shorter_side)
    except Exception as error:  # decoders raise what they like; the row is bad whatever it was
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise ValueError(f"undecodable: {' '.join(reason.split())}") from None
    return extension, content


def _resized(image, shorter_side: int) -> bytes:
    from PIL import Image

    kind = image.format
    kept = {key: image.info[key] for key in ("exif", "icc_profile") if image.info.get(key)}
    scale = shorter_side / min(image.size)
    width, height = (max(shorter_side, round(side * scale)) for side in image.size)
    if image.mode in ("P", "1"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    quality = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    if kind == "GIF":
        kept = {}
    out = io.BytesIO()
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    resized.save(out, kind, **kept, **quality)
    return out.getvalue()
