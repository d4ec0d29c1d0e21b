"""How far the loader's decoded pixels are from Pillow's.

python experiments/performance/decoded_pixels.py
"""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
from PIL import Image
from synthetic_jpegs import jpeg, synthetic_image

from cyclip_pl.data.jpeg import Jpeg
from cyclip_pl.data.lazy_image import cut

SIZE = 224


def difference() -> None:
    """How far fast and draft pixels are from Pillow's for the same crops, in levels of 255."""
    small = [synthetic_image(n, 64, 60) for n in range(4)]
    sets = {
        "smooth 512 x 480": [image.resize((512, 480), Image.Resampling.BICUBIC) for image in small],
        "detailed 512 x 480": [synthetic_image(n) for n in range(4)],
        "detailed 1024 x 960": [synthetic_image(n, 1024, 960) for n in range(4)],
    }
    for (name, images), keep in itertools.product(sets.items(), (2, 1)):
        apart = []
        for image in images:
            data = jpeg(image)
            undecoded = Jpeg.open(data, keep)
            assert undecoded is not None
            box = tuple(image.width / 512 * edge for edge in (8, 4, 492, 476))
            shown = (undecoded, Image.open(io.BytesIO(data)))
            a, b = (np.asarray(cut(one, box, (SIZE, SIZE)), dtype=float) for one in shown)
            apart.append(a - b)
        error = np.stack(apart)
        psnr = 10 * math.log10(255**2 / (error**2).mean())
        print(
            f"{name}, {'fast' if keep == 2 else 'draft'}: mean {np.abs(error).mean():.4f}, "
            f"most {np.abs(error).max():.0f}, PSNR {psnr:.1f} dB"
        )


if __name__ == "__main__":
    difference()
