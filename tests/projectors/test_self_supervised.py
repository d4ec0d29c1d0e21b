import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.projectors.self_supervised import SelfSupervised
from cyclip_pl.types import Features


def test_the_joint_space_is_the_encoders_and_the_head_beside_it() -> None:
    torch.manual_seed(0)
    projector = SelfSupervised(features=5, dim=3, width=8)
    features = Features(torch.randn(3, 6, 5), torch.randn(1, 6, 5))
    rows = projector(features)
    torch.testing.assert_close(rows.image, normalize(features.image, dim=-1))
    torch.testing.assert_close(rows.text, normalize(features.text, dim=-1))
    assert rows.image_views.shape == (3, 6, 3)
    torch.testing.assert_close(rows.image_views.norm(dim=-1), torch.ones(3, 6))
    torch.testing.assert_close(projector.project_image(features.image), rows.image)


@pytest.mark.parametrize("setting", ["dim", "width"])
def test_settings_are_checked(setting) -> None:
    with pytest.raises(
        ValueError, match=f"projector.{setting}=0: must be a whole number of at least 1"
    ):
        SelfSupervised(features=5, **{"dim": 3, "width": 8, setting: 0})
