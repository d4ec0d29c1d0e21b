from __future__ import annotations

import pytest
import torch

from cyclip_pl.metrics.alignment import CaptionAlignment, LabelAlignment
from tests.helpers.formulas import unit_rows
from tests.helpers.loops import dot, square


def test_equal_loops() -> None:
    image, text = unit_rows(23, 6, seed=0)
    of_label, of_caption = LabelAlignment(), CaptionAlignment()
    for block in (slice(0, 9), slice(9, 23)):
        of_label.update(image[block], text[block])
        of_caption.update(image[block], text[block])
    rows = list(zip(image.tolist(), text.tolist(), strict=True))
    expected = sum(dot(i, t) for i, t in rows) / 23
    assert of_label.compute().item() == pytest.approx(expected, rel=1e-12)
    expected = sum(square(i, t) for i, t in rows) / 23
    assert of_caption.compute().item() == pytest.approx(expected, rel=1e-12)


def test_perfect_and_opposed_pairs() -> None:
    image = torch.eye(3)
    for text, cosine, distance in ((image, 1, 0), (-image, -1, 4)):
        of_label, of_caption = LabelAlignment(), CaptionAlignment()
        of_label.update(image, text)
        of_caption.update(image, text)
        assert (of_label.compute(), of_caption.compute()) == (cosine, distance)
