from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint

CHECKPOINT = {"state_dict": {"w": torch.ones(2)}, "config": {}, "scale": 1.0}


@pytest.mark.parametrize("name", ["last.ckpt", "checkpoints/last.ckpt", "any.ckpt"])
def test_a_file_or_a_folder_of_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    torch.save(CHECKPOINT, file)
    assert checkpoint_file(file) == file
    assert torch.equal(read_checkpoint(file)["state_dict"]["w"], torch.ones(2))
    if file.name == "last.ckpt":
        assert checkpoint_file(tmp_path) == file


def test_the_last_checkpoint_of_a_run_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("last.ckpt", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        (tmp_path / name).touch()
    assert checkpoint_file(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"


def test_what_is_missing_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^resume={tmp_path}/no: not a file or a run folder$"):
        checkpoint_file(tmp_path / "no", "resume")
    with pytest.raises(ValueError, match=r"^checkpoint=.*: the folder has no checkpoints/last"):
        checkpoint_file(tmp_path)


@pytest.mark.parametrize("missing", ["state_dict", "config", "scale"])
def test_every_part_of_a_checkpoint_is_needed(tmp_path: Path, missing: str) -> None:
    torch.save({k: v for k, v in CHECKPOINT.items() if k != missing}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"x\.ckpt: not a checkpoint of this project"):
        read_checkpoint(tmp_path / "x.ckpt")
