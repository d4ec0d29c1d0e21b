import math

import pytest
import torch

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings
from tests.helpers import formulas
from tests.helpers.embeddings import embeddings
from tests.helpers.formulas import unit_rows


def test_total_is_the_contrastive_loss_at_its_own_scale() -> None:
    image, text = unit_rows(6, 4, seed=0)
    terms = CLIP(init_scale=20.0).double()(Embeddings(image[None], text[None]))
    assert terms.keys() == {"total", "contrastive"}
    expected = formulas.contrastive(image, text, 20.0)
    # logit_scale starts as float32.
    torch.testing.assert_close(terms["total"], expected, rtol=1e-6, atol=1e-9)


def test_scale_starts_at_the_papers_value_and_is_clamped() -> None:
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
def test_an_initial_scale_out_of_range_is_refused(scale) -> None:
    with pytest.raises(
        ValueError,
        match="objective.init_scale=.*: must be null or a number at least 1 and at most 100",
    ):
        CLIP(init_scale=scale)


def test_views_are_averaged_over_their_pairs() -> None:
    rows = embeddings(Needs(image_views=2, text_views=2))
    objective = CLIP().double()
    pairs = [objective(Embeddings(i[None], t[None]))["total"] for i, t in rows.pairs()]
    torch.testing.assert_close(objective(rows)["total"], sum(pairs) / 4)


def test_it_begins_with_the_scale_of_pretrained_weights_unless_one_is_given() -> None:
    objective, typed = CLIP(), CLIP(init_scale=20.0)
    assert objective.scale.item() == pytest.approx(1 / 0.07)
    for one in (objective, typed):
        one.begin_from(50.0, bias=-3.0)
    assert objective.scale.item() == pytest.approx(50.0)
    assert typed.scale.item() == pytest.approx(20.0)
    objective.begin_from(100.04, None)
    assert objective.logit_scale.item() == pytest.approx(objective.max_log_scale, abs=1e-7)
    with pytest.raises(ValueError, match=r"^objective\.max_scale=100: .* the scale 117\.3; set"):
        objective.begin_from(117.3, None)
    CLIP(max_scale=200.0).begin_from(117.3, None)


def test_equal_captions_are_masked() -> None:
    rows = embeddings(Needs(), n=6)
    objective = CLIP(mask_equal_captions=True, init_scale=20.0).double()
    captions = rows.caption_ids[0].tolist()
    expected = formulas.contrastive(rows.image[0], rows.text[0], 20.0, captions)
    torch.testing.assert_close(objective(rows)["total"], expected, rtol=1e-6, atol=1e-9)
    rows.caption_ids = None
    with pytest.raises(ValueError, match="^objective.mask_equal_captions=true: the batches"):
        objective(rows)
