"""Checkpoints of every format that was ever written are read; later ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cyclip_pl
from cyclip_pl.checkpoints.files import FORMAT, read_checkpoint
from tests.helpers import stored_checkpoint
from tests.helpers.model_sources import write_checkpoint

DATA = Path(__file__).parent / "data"
STORED = sorted(DATA.glob("*.ckpt"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_checkpoint_has_its_embeddings(path: Path) -> None:
    expected = torch.load(path.with_suffix(".expected.pt"), weights_only=True)
    model = cyclip_pl.load(path)
    actual = stored_checkpoint.embeddings(model)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert (model.scale, model.bias, model.embed_dim) == (10.0, -10.0, 10)
    assert path.stat().st_size < 200_000


def test_every_format_is_stored(tmp_path: Path) -> None:
    stored = {path.stem: read_checkpoint(path).get("format") for path in STORED}
    formats = {f"format_{number}": number for number in range(1, FORMAT + 1)}
    assert stored == {"without_format": None, **formats}
    # What is written today is of the latest.
    stored_checkpoint.write(tmp_path / "new.ckpt")
    assert read_checkpoint(tmp_path / "new.ckpt")["format"] == FORMAT


@pytest.mark.parametrize("found", [FORMAT + 1, 10**100, 0, -1, "1", True, 1.0, [1]])
def test_another_format_is_one_line(tmp_path: Path, found: object) -> None:
    path = write_checkpoint(tmp_path / "model.ckpt", format=found)
    with pytest.raises(ValueError, match=r"model\.ckpt: its format is .*install a newer") as caught:
        cyclip_pl.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 + len(str(path))
