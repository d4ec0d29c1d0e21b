import pytest
import torch

from cyclip_pl.objectives.cyclip_augmented import CyCLIPAugmented
from cyclip_pl.objectives.needs import Needs
from tests.helpers import formulas
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import with_gradients


def test_total_and_gradients_are_the_authors() -> None:
    objective = CyCLIPAugmented(0.5, 2.0, init_scale=9.0).double()
    rows = embeddings(Needs(2, 2), n=7)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_scale):
        s = log_scale.exp().squeeze()
        cross = formulas.contrastive(image[0], text[0], s)
        within = formulas.info_nce(image[0], image[1], s) + formulas.info_nce(text[0], text[1], s)
        plain = image[0], text[0]
        consistency = 0.5 * formulas.in_modal(*plain) + 2.0 * formulas.cross_modal(*plain)
        return (cross + within / 2) / 2 + consistency

    (value,), expected = with_gradients(
        formula, rows.image, rows.text, objective.logit_scale.detach()
    )
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image"], gradients["text"], parameters["logit_scale"]]
    torch.testing.assert_close(actual, expected)


def test_further_views_do_not_count() -> None:
    more, objective = embeddings(Needs(3, 3)), CyCLIPAugmented().double()
    terms, gradients, _ = run(objective, more)
    more.image, more.text = more.image[:2], more.text[:2]
    assert terms == run(objective, more)[0]
    assert not gradients["image"][2].any() and not gradients["text"][2].any()


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(
        ValueError, match="objective.lambda_in_modal=-1: must be a number at least 0"
    ):
        CyCLIPAugmented(lambda_in_modal=-1)


def test_equal_captions_are_masked_in_all_three_losses() -> None:
    rows = embeddings(Needs(2, 2), n=6)
    masked = run(CyCLIPAugmented(mask_equal_captions=True).double(), rows)[0]
    plain = run(CyCLIPAugmented().double(), rows)[0]
    for name in ("contrastive", "contrastive_image", "contrastive_text"):
        assert masked[name] < plain[name]
    assert masked["in_modal"] == plain["in_modal"]
