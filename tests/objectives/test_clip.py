import math

import pytest
import torch

from cyclip_pl.objectives.base import Needs
from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.types import Embeddings
from tests.losses import formulas
from tests.losses.formulas import unit_rows


def test_total_is_the_contrastive_loss_at_its_own_scale():
    image, text = unit_rows(6, 4, seed=0)
    terms = CLIP(init_scale=20.0).double()(Embeddings(image[None], text[None]))
    assert terms.keys() == {"total", "contrastive"}
    expected = formulas.contrastive(image, text, 20.0)
    # logit_scale starts as float32.
    torch.testing.assert_close(terms["total"], expected, rtol=1e-6, atol=1e-9)


def test_scale_starts_at_the_papers_value_and_is_clamped():
    objective = CLIP()
    assert objective.scale.item() == pytest.approx(1 / 0.07, rel=1e-6)
    with torch.no_grad():
        objective.logit_scale.fill_(7.0)
    objective.clamp_()
    assert objective.scale.item() == pytest.approx(100, rel=1e-5)
    assert objective.logit_scale.item() == pytest.approx(4.6052, abs=1e-4)
    with torch.no_grad():
        objective.logit_scale.fill_(-1.0)
    objective.clamp_()
    assert objective.logit_scale.item() == 0


@pytest.mark.parametrize("scale", [0.5, 101.0, math.nan])
def test_an_initial_scale_out_of_range_is_refused(scale):
    with pytest.raises(ValueError, match="objective.init_scale must lie in"):
        CLIP(init_scale=scale)


def test_views_that_are_missing_are_refused():
    class One:
        image_views, text_views = 1, 1

    Needs(1, 1).check(One)
    with pytest.raises(ValueError, match="needs 3 image views, views gives 1: choose another view"):
        Needs(image_views=3).check(One)
