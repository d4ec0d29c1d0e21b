from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cyclip_pl.checkpoints.resume import check_resumable, check_weights

ENCODER = {"image_size": 32, "context_length": None, "architecture": {"text_cfg": {"layers": 1}}}


def _saved(folder: Path, state: dict[str, Any], **more: Any) -> Path:
    content = {"state_dict": state, "config": {"encoder": ENCODER}, "scale": 1.0, **more}
    torch.save(content, folder / "last.ckpt")
    return folder / "last.ckpt"


def test_a_run_with_the_same_encoder_can_be_resumed(tmp_path: Path) -> None:
    check_resumable(_saved(tmp_path, {}, optimizer_states=[]), {**ENCODER, "lock_image": True})


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({**ENCODER, "image_size": 64}, "encoder.image_size=32, this run has 64"),
        (
            {**ENCODER, "architecture": {"text_cfg": {"layers": 2}}},
            "encoder.architecture.text_cfg.layers=1, this run has 2",
        ),
        ({**ENCODER, "architecture": "RN50"}, "encoder.architecture=unset, this run has RN50"),
    ],
)
def test_another_encoder_is_named(tmp_path: Path, encoder: dict, message: str) -> None:
    path = _saved(tmp_path, {}, optimizer_states=[])
    with pytest.raises(ValueError, match=f"^resume={path}: was trained with {message}$"):
        check_resumable(path, encoder)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has weights only, like best\.ckpt; take last\.ckpt"):
        check_resumable(_saved(tmp_path, {}), ENCODER)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"head.weight": torch.ones(2, 4)}, r"has the shape \(2, 4\), this run's \(2, 3\)"),
        ({}, r"has the shape none, this run's \(2, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, state: dict, message: str) -> None:
    module = nn.ModuleDict({"head": nn.Linear(3, 2, bias=False)})
    check_weights(_saved(tmp_path, module.state_dict()), module)
    with pytest.raises(ValueError, match=f"another head: its head.weight {message}"):
        check_weights(_saved(tmp_path, state), module)
