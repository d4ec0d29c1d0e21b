import torch
from torch.nn.functional import normalize

from cyclip_pl.projectors.native import Native


def test_features_are_only_normalised() -> None:
    features = torch.randn(3, 4)
    projector = Native(features=4)
    assert not list(projector.parameters())
    torch.testing.assert_close(projector.project_image(features), normalize(features, dim=-1))
    torch.testing.assert_close(projector.project_text(features), normalize(features, dim=-1))
