"""Every objective's model is exported, or refused in one line that says what else there is."""

from __future__ import annotations

import pytest
from hydra.utils import instantiate

from cyclip_pl.models.export import open_clip as exported
from tests.helpers.architectures import VIT
from tests.helpers.composed import choices, composed
from tests.helpers.exported import assert_same, trained

# Their projectors have no counterpart in open_clip; all others are exported.
REFUSED = {"uniclip": "AugmentationAware", "nclip": "Clusters"}


@pytest.mark.parametrize("name", choices("objective"))
def test_every_objective(name, tmp_path) -> None:
    small = ("heads.clusters=16", "heads.width=8", "heads.augmentation=8")
    config = composed(f"objective={name}", *small)
    scalars = {k: v.item() for k, v in instantiate(config.objective).scalars().items()}
    projector = instantiate(config.projector)
    scale, bias = scalars.get("scale", 1.0), scalars.get("bias")
    model = trained(VIT, lambda features: projector(features=features), scale, bias)
    if name in REFUSED:
        said = rf"^format=open_clip: its projector \({REFUSED[name]}\) .*; use format=onnx$"
        with pytest.raises(ValueError, match=said):
            exported.write(model, tmp_path)
    else:
        exported.write(model, tmp_path)
        assert_same(tmp_path, model)
