"""Images as bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

RGB = tuple[int, int, int]


def encoded(image: Image.Image, format: str = "JPEG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **({"quality": 85} if format == "JPEG" else {}) | settings)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiled(side: int) -> bytes:
    """A TIFF of 100 x 100 pixels whose only tile claims this side."""
    tags = {256: 100, 257: 100, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    data = zlib.compress(b"")
    tags |= {324: 8 + 2 + 12 * 10 + 4, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def halves(mode: str, left: object, right: object) -> Image.Image:
    """64 x 64, the left half of one value and the right half of another."""
    image = Image.new(mode, (64, 64), left)
    image.paste(right, (32, 0, 64, 64))
    return image


def _palette() -> Image.Image:
    image = halves("P", 0, 1)
    image.putpalette([0, 0, 0, 40, 50, 60])
    return image


def _big_endian(image: Image.Image) -> bytes:
    """A TIFF of 16 bits with the high byte first, which Pillow opens as I;16B."""
    pixels = np.asarray(image).astype(">u2").tobytes()
    tags = [(256, 4, 64), (257, 4, 64), (258, 3, 16 << 16), (259, 3, 1 << 16), (262, 3, 1 << 16),
            (273, 4, 8), (277, 3, 1 << 16), (278, 4, 64), (279, 4, len(pixels))]  # fmt: skip
    entries = b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack(">H", len(tags)) + entries + bytes(4)
    return struct.pack(">2sHI", b"MM", 42, 8 + len(pixels)) + pixels + directory


_CLEAR = halves("RGBA", (0, 0, 0, 0), (40, 50, 60, 255))
_GREY = Image.fromarray(np.repeat(np.uint16([[0, 20_000]]), 32, axis=1).repeat(64, axis=0))

# The first bytes of kinds that are not read.
OTHERS = {
    "avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(64),
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + bytes(64),
    # Pillow starts another program for this one.
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
}
# Kind: the bytes, and the colours that a model must see in the left and the right half.
WHITE, BLACK, COLOUR = (255, 255, 255), (0, 0, 0), (40, 50, 60)
KINDS: dict[str, tuple[bytes, RGB, RGB]] = {
    "RGBA png": (encoded(_CLEAR, "PNG"), WHITE, COLOUR),
    "RGBA webp": (encoded(_CLEAR, "WEBP", lossless=True), WHITE, COLOUR),
    "RGBA tiff": (encoded(_CLEAR, "TIFF"), WHITE, COLOUR),
    "LA png": (encoded(halves("LA", (0, 0), (50, 255)), "PNG"), WHITE, (50, 50, 50)),
    "P png": (encoded(_palette(), "PNG"), BLACK, COLOUR),
    "P png, transparent": (encoded(_palette(), "PNG", transparency=0), WHITE, COLOUR),
    "gif": (encoded(_palette(), "GIF"), BLACK, COLOUR),
    "gif, transparent": (encoded(_palette(), "GIF", transparency=0), WHITE, COLOUR),
    "bmp": (encoded(halves("RGB", BLACK, COLOUR), "BMP"), BLACK, COLOUR),
    "ppm": (encoded(halves("RGB", BLACK, COLOUR), "PPM"), BLACK, COLOUR),
    "I;16 png": (encoded(_GREY, "PNG"), BLACK, (78, 78, 78)),
    "I;16 png, transparent": (encoded(_GREY, "PNG", transparency=0), WHITE, (78, 78, 78)),
    "I;16 tiff": (encoded(_GREY, "TIFF"), BLACK, (78, 78, 78)),
    "I;16B tiff": (_big_endian(_GREY), BLACK, (78, 78, 78)),
    "I tiff": (encoded(halves("I", 0, 20_000), "TIFF"), BLACK, (78, 78, 78)),
    "I ppm": (encoded(halves("I", 0, 20_000), "PPM"), BLACK, (78, 78, 78)),
}
