"""Every projector: composes, states its arguments, has its test, ends on the unit sphere."""

import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.types import Features
from tests.helpers.composed import choices, composed
from tests.helpers.contract import assert_has_test, assert_keys_are_arguments


@pytest.mark.parametrize("name", choices("projector"))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_projector(name, dtype) -> None:
    config = composed(f"projector={name}").projector
    assert_keys_are_arguments(config, given={"features"})
    assert_has_test(config, "projectors")
    projector = instantiate(config)(features=8)
    features = Features(torch.randn(2, 3, 8, dtype=dtype), torch.randn(1, 3, 8, dtype=dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        embeddings = projector(features)
    assert embeddings.image.shape[:2] == (2, 3)
    assert embeddings.text.shape[:2] == (1, 3)
    for rows in (embeddings.image, embeddings.text):
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(rows.shape[:2]))
