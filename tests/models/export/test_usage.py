"""The lines of the card that prepare an image give the model's own pixels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.models.export.usage import usage


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (32, 32), (20, 61)])
def test_onnx_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    lines = re.search(r"^side, .*?^images = .*?$", usage("onnx", None), re.M | re.S)
    assert lines
    code = lines[0].replace('"cat.jpg"', "path")
    names = {"np": np, "Image": Image, "facts": {"image_size": 32}, "path": tmp_path / "cat.png"}
    exec(code, names)
    wanted = evaluation_transform(32)(Image.fromarray(pixels))
    assert np.array_equal(names["images"][0], wanted.numpy())
