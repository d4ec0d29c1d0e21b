"""JPEGs that cost as much to decode as photographs do."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw


def synthetic_image(seed: int, width: int = 512, height: int = 480) -> Image.Image:
    """Noise with a photograph's falling spectrum and similar channels, under a few outlines."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    spectrum[1:] = 0.6 * spectrum[:1] + 0.4 * spectrum[1:]
    noise = np.fft.irfft2(spectrum / frequency**1.45, s=(height, width))
    pixels = (noise - noise.mean()) / noise.std() * 45 + 120
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
    draw = ImageDraw.Draw(image)
    for shape in [draw.rectangle, draw.ellipse] * 6:
        (left, right), (upper, lower) = (
            sorted(rng.integers(0, side, 2).tolist()) for side in (width, height)
        )
        colour = tuple(rng.integers(0, 256, 3).tolist())
        shape((left, upper, right + 1, lower + 1), outline=colour, width=int(rng.integers(1, 6)))
    return image


def jpeg(image: Image.Image, quality: int = 75) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
