import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.projectors.linear import Linear


def test_each_modality_has_its_own_map() -> None:
    torch.manual_seed(0)
    projector = Linear(features=4, dim=6)
    features = torch.randn(3, 4)
    for project, weight in (
        (projector.project_image, projector.image.weight),
        (projector.project_text, projector.text.weight),
    ):
        torch.testing.assert_close(project(features), normalize(features @ weight.T, dim=-1))
    assert not torch.equal(projector.image.weight, projector.text.weight)


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="projector.dim=0: must be a whole number of at least 1"):
        Linear(features=4, dim=0)
