from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import torch

from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint, read_weights, step_of

CHECKPOINT = {"state_dict": {"w": torch.ones(2)}, "config": {}, "scale": 1.0}


@pytest.mark.parametrize("name", ["last.ckpt", "checkpoints/last.ckpt", "any.ckpt"])
def test_a_file_or_a_folder_of_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    torch.save(CHECKPOINT, file)
    assert checkpoint_file(file) == checkpoint_file(f"file://{file}") == file
    assert torch.equal(read_checkpoint(file)["state_dict"]["w"], torch.ones(2))
    if file.name == "last.ckpt":
        assert checkpoint_file(tmp_path) == file


def test_the_last_checkpoint_of_a_run_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("last.ckpt", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        torch.save(CHECKPOINT, tmp_path / name)
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


def _run(folder: Path, *whole: str, damaged: tuple[str, ...] = ()) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for name in (*whole, *damaged):
        torch.save({**CHECKPOINT, "name": name}, path := folder / "checkpoints" / name)
        if name in damaged:
            path.write_bytes(path.read_bytes()[:-30])
    return folder


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = _run(tmp_path, "step_9.ckpt", "step_80.ckpt", damaged=("last.ckpt", "step_100.ckpt"))
    with caplog.at_level(logging.WARNING):
        assert checkpoint_file(run) == run / "checkpoints" / "step_80.ckpt"
    for name in ("last", "step_100"):
        assert (
            f"{run}/checkpoints/{name}.ckpt: it is cut short or not a checkpoint: damaged, so"
            f" {run}/checkpoints/step_80.ckpt is used" in caplog.text
        )


def test_a_run_whose_last_checkpoint_is_missing_has_the_one_before(tmp_path: Path) -> None:
    run = _run(tmp_path, "step_9.ckpt", "step_80.ckpt")
    assert checkpoint_file(run) == run / "checkpoints" / "step_80.ckpt"


def test_a_run_without_a_whole_checkpoint_is_refused(tmp_path: Path) -> None:
    run = _run(tmp_path, damaged=("last.ckpt", "step_80.ckpt"))
    (run / "checkpoints" / "last.ckpt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=f"^resume={run}: no checkpoint is whole .*it is empty.*80"
    ):
        checkpoint_file(run, "resume")


def test_a_damaged_file_that_is_named_names_the_one_to_use(tmp_path: Path) -> None:
    run = _run(tmp_path, "last.ckpt", "step_9.ckpt", damaged=("best.ckpt", "step_80.ckpt"))
    folder = run / "checkpoints"
    for name in ("best.ckpt", "step_80.ckpt"):
        assert checkpoint_file(folder / name) == folder / name
        with pytest.raises(ValueError, match=f"{name}: damaged: .*; use {folder}/last.ckpt$"):
            read_weights(folder / name)
    (folder / "last.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=f"it is empty; use {folder}/step_9.ckpt$"):
        read_weights(folder / "last.ckpt")


def test_behind_a_url(caplog: pytest.LogCaptureFixture) -> None:
    url = f"memory://{uuid4()}"
    for name in ("last", "step_1"):
        with fsspec.open(f"{url}/checkpoints/{name}.ckpt", "wb") as file:
            torch.save({**CHECKPOINT, "global_step": 7}, file)
    last = checkpoint_file(url)
    assert last == checkpoint_file(f"{url}/checkpoints") == f"{url}/checkpoints/last.ckpt"
    assert torch.equal(read_checkpoint(last)["state_dict"]["w"], torch.ones(2))
    assert step_of(last) == 7
    with fsspec.open(last, "wb") as file:
        file.write(b"half")
    assert step_of(last) is None
    assert checkpoint_file(url, "resume") == f"{url}/checkpoints/step_1.ckpt"
    assert "last.ckpt: it is cut short or not a checkpoint: damaged, so" in caplog.text
    with pytest.raises(
        ValueError, match=f"^{last}: damaged: .*; use {url}/checkpoints/step_1.ckpt"
    ):
        read_weights(last)
    with pytest.raises(ValueError, match="^checkpoint=memory://none/x: the folder has no"):
        checkpoint_file("memory://none/x")
