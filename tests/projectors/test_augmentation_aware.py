import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.data.views.parameters import LEGEND
from cyclip_pl.projectors.augmentation_aware import AugmentationAware
from cyclip_pl.types import Features
from tests.helpers.composed import composed

SETTINGS = {"dim": 3, "width": 8, "blocks": 2, "parameters": 4}


def _trained() -> AugmentationAware:
    torch.manual_seed(0)
    projector = AugmentationAware(features=5, **SETTINGS).double()
    for parameter in projector.parameters():
        parameter.data.normal_()
    return projector


def test_it_begins_as_a_linear_map() -> None:
    projector = AugmentationAware(features=5, **SETTINGS)
    features = torch.randn(6, 5)
    for rows, weight in (
        (projector.project_image(features, torch.randn(6, 4)), projector.image.weight),
        (projector.project_text(features), projector.text.weight),
    ):
        torch.testing.assert_close(rows, normalize(features @ weight.T, dim=-1))


def test_the_image_head_sees_the_parameters_and_the_text_head_none() -> None:
    projector = _trained()
    features = Features(*torch.randn(2, 1, 6, 5, dtype=torch.float64))
    one, other = (projector(features, x) for x in torch.randn(2, 1, 6, 4, dtype=torch.float64))
    assert not torch.allclose(one.image, other.image)
    assert torch.equal(one.text, other.text)


def test_each_view_has_its_own_parameters() -> None:
    projector = _trained()
    features = Features(torch.randn(3, 6, 5).double(), torch.randn(1, 6, 5).double())
    augmentation = torch.randn(3, 6, 4, dtype=torch.float64)
    rows = projector(features, augmentation).image
    for view in range(3):
        alone = projector.project_image(features.image[view], augmentation[view])
        torch.testing.assert_close(rows[view], alone)


def test_none_is_the_identity() -> None:
    projector, features = _trained(), torch.randn(6, 5, dtype=torch.float64)
    zeros = torch.zeros(6, 4, dtype=torch.float64)
    assert torch.equal(projector.project_image(features), projector.project_image(features, zeros))


def test_it_reads_what_the_views_report() -> None:
    assert composed("projector=augmentation_aware").projector.parameters == len(LEGEND)

    class Views:
        parameters = 0

    with pytest.raises(ValueError, match="takes 4 augmentation parameters, views gives 0; choose"):
        _trained().check(Views)


@pytest.mark.parametrize("setting", ["dim", "width", "blocks", "parameters"])
def test_settings_are_checked(setting) -> None:
    with pytest.raises(
        ValueError, match=f"projector.{setting}=0: must be a whole number of at least 1"
    ):
        AugmentationAware(features=5, **{**SETTINGS, setting: 0})
