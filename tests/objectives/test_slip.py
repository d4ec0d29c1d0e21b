import pytest
import torch

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.objectives.slip import SLIP
from tests.helpers import formulas
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import nt_xent, with_gradients


@pytest.mark.parametrize("views", [2, 3])
def test_total_and_gradients_are_the_papers(views) -> None:
    objective = SLIP(self_supervision=0.7, temperature=0.2, init_scale=9.0).double()
    rows = embeddings(Needs(views), n=7)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, image_views, log_scale):
        clip = formulas.contrastive(image[0], text[0], log_scale.exp().squeeze())
        return clip + 0.7 * nt_xent(image_views[-2], image_views[-1], 0.2)

    (value,), expected = with_gradients(
        formula, rows.image, rows.text, rows.image_views, objective.logit_scale.detach()
    )
    torch.testing.assert_close(terms["total"], value)
    names = ("image", "text", "image_views")
    actual = [*(gradients[name] for name in names), parameters["logit_scale"]]
    torch.testing.assert_close(actual, expected)


def test_without_self_supervision_it_is_clip_on_the_first_view() -> None:
    rows = embeddings(Needs(2))
    terms, _, _ = run(SLIP(self_supervision=0.0).double(), rows)
    rows.image = rows.image[:1]
    torch.testing.assert_close(terms["total"], run(CLIP().double(), rows)[0]["total"])


@pytest.mark.parametrize(("setting", "value"), [("self_supervision", -1), ("temperature", 0)])
def test_settings_are_checked(setting, value) -> None:
    with pytest.raises(ValueError, match=f"objective.{setting}=.*: must be"):
        SLIP(**{setting: value})
