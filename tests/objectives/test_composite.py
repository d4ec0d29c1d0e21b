import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.composite import Composite
from cyclip_pl.objectives.cyclip import CyCLIP
from cyclip_pl.objectives.nclip import NCLIP
from cyclip_pl.objectives.slip import SLIP
from tests.helpers.composed import composed
from tests.helpers.embeddings import embeddings, run


def test_total_and_gradients_are_the_weighted_sums() -> None:
    weights = {"cyclip": 0.5, "nclip": 2.0}
    composite = Composite({"cyclip": CyCLIP(), "nclip": NCLIP()}, weights).double()
    rows = embeddings(composite.needs)
    terms, gradients, parameters = run(composite, rows)
    alone = {"cyclip": run(CyCLIP().double(), rows), "nclip": run(NCLIP(), rows)}
    expected = sum(weights[name] * alone[name][0]["total"] for name in weights)
    torch.testing.assert_close(terms["total"], expected)
    for name, (of_part, of_rows, of_scalars) in alone.items():
        for key, value in of_part.items():
            torch.testing.assert_close(terms[f"{name}/{key}"], value)
        for key, gradient in of_rows.items():
            torch.testing.assert_close(gradients[key], weights[name] * gradient)
        for key, gradient in of_scalars.items():
            actual = parameters[f"objectives.{name}.{key}"]
            torch.testing.assert_close(actual, weights[name] * gradient)


def test_it_needs_what_any_of_them_needs() -> None:
    needs = Composite({"a": SLIP(), "b": NCLIP()}, {"a": 1, "b": 1}).needs
    assert (needs.image_views, needs.heads) == (2, {"views", "clusters"})


def test_scalars_are_clamped_and_named() -> None:
    composite = Composite({"a": NCLIP(), "b": CLIP(init_scale=20.0)}, {"a": 1, "b": 1})
    assert composite.scalars().keys() == {"b/scale", "scale"}
    assert composite.scalars()["scale"].item() == pytest.approx(20)
    composite.objectives["b"].logit_scale.data.fill_(9.0)
    composite.clamp_()
    assert composite.scalars()["scale"].item() == pytest.approx(100)
    assert Composite({"a": NCLIP()}, {"a": 1}).scalars() == {}


def test_one_more_from_the_command_line() -> None:
    config = composed(
        "objective=composite",
        "+objective@objective.objectives.siglip=siglip",
        "+objective.weights.siglip=0.5",
        "objective.objectives.cyclip.lambda_in_modal=0",
    )
    composite = instantiate(config.objective)
    assert composite.weights == {"cyclip": 1.0, "nclip": 1.0, "siglip": 0.5}
    assert composite.objectives["cyclip"].consistency.lambda_in_modal == 0
    assert config.projector.zero_shot == "joint"


def test_names_and_weights_are_checked() -> None:
    with pytest.raises(
        ValueError, match=r"weights \(b\): must name the same as objective.objectives \(a\)"
    ):
        Composite({"a": CLIP()}, {"b": 1.0})
    with pytest.raises(ValueError, match="at least one"):
        Composite({}, {})
    with pytest.raises(ValueError, match="objective.weights.a=-1: must be a number at least 0"):
        Composite({"a": CLIP()}, {"a": -1})


def test_each_part_begins_with_the_scale_of_pretrained_weights() -> None:
    composite = Composite({"a": NCLIP(), "b": CLIP()}, {"a": 1, "b": 1})
    composite.begin_from(50.0, None)
    assert composite.scalars()["scale"].item() == pytest.approx(50)
