"""`cyclip_pl.load` finds out what a source is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import cyclip_pl
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from tests.helpers.model_sources import write_checkpoint, write_official, write_run

LOADERS = {
    "cyclip_pl.models.open_clip": "load_open_clip",
    "cyclip_pl.models.open_clip_folder": "load_open_clip_folder",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the loaders of others are called with; they give a network that can be moved."""
    made: list[tuple[Any, ...]] = []
    for module, name in LOADERS.items():

        def record(*arguments: Any, name: str = name) -> torch.nn.Module:
            made.append((name, *arguments))
            return torch.nn.Linear(1, 1)

        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: record}))
    return made


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("open_clip:ViT-B-32/openai", ("load_open_clip", "ViT-B-32", "openai")),
        ("open_clip:ViT-B/32/openai", ("load_open_clip", "ViT-B/32", "openai")),
        ("hf-hub:org/name", ("load_open_clip_folder", "hf-hub:org/name")),
        ("local-dir:here", ("load_open_clip_folder", "local-dir:here")),
    ],
)
def test_names(calls: list, source: str, call: tuple) -> None:
    cyclip_pl.load(source, "cpu")
    trust = (False,) if call[0] == "load_open_clip_folder" else ()
    assert calls == [(*call, "cpu", *trust)]


@pytest.mark.parametrize("config", ["config.json", "open_clip_config.json"])
def test_folders_are_told_by_their_config(calls: list, tmp_path: Path, config: str) -> None:
    (tmp_path / config).write_text("{}")
    for trust, passed in ((False, False), ("my_package", False), (True, True)):
        loaded = cyclip_pl.load(tmp_path, dtype=torch.float64, trust=trust)
        assert calls.pop() == ("load_open_clip_folder", str(tmp_path), "cpu", passed)
        assert loaded.weight.dtype == torch.float64


def test_files_are_told_by_their_content(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for path in (
        run,
        str(run),
        run / "checkpoints/last.ckpt",
        f"file://{run}/checkpoints/last.ckpt",
    ):
        assert isinstance(cyclip_pl.load(path), EmbeddingModel)
    assert isinstance(cyclip_pl.load(write_official(tmp_path / "epoch_64.pt")), OpenCLIPModel)
    half = cyclip_pl.load(run, dtype=torch.bfloat16)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


def test_raw_weights_beside_the_averaged(tmp_path: Path) -> None:
    """As Lightning's WeightAveraging saves them."""
    path = write_checkpoint(tmp_path / "model.ckpt")
    saved = torch.load(path, weights_only=True)["state_dict"]
    raw = {name: weight + 1 for name, weight in saved.items()}
    write_checkpoint(path, current_model_state=raw)
    for weights, expected in (("saved", saved), ("raw", raw)):
        state = cyclip_pl.load(path, weights=weights).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in state.items())
    # Without an average, those of the last step are the ones that were saved.
    write_checkpoint(path)
    state = cyclip_pl.load(path, weights="raw").state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in state.items())
    raw["encoder.model.ln_final.weight"][0] = float("nan")
    write_checkpoint(path, current_model_state=raw)
    with pytest.raises(ValueError, match="its weights are not finite"):
        cyclip_pl.load(path, weights="raw")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", r"checkpoint=none: not a file or a run folder; load takes a run folder"),
        (".", r"checkpoint=\.: the folder has no checkpoints/last\.ckpt; load takes a run folder"),
        ("open_clip:ViT-B-32", r"open_clip:ViT-B-32: must be open_clip:ARCHITECTURE/TAG"),
        ("model.safetensors", r"model\.safetensors: weights alone"),
        ("other.pt", r"other\.pt: .*; load takes a run folder"),
    ],
)
def test_what_nothing_can_read(tmp_path: Path, monkeypatch, source: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": 1}, "other.pt")
    Path("model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match=message) as caught:
        cyclip_pl.load(source)
    assert "\n" not in str(caught.value)


def test_settings_that_cannot_be(calls: list, tmp_path: Path) -> None:
    official = write_official(tmp_path / "epoch_64.pt")
    for source in ("hf-hub:org/name", official):
        with pytest.raises(ValueError, match=r"weights=raw: .* has one set of weights"):
            cyclip_pl.load(source, weights="raw")
    for settings, message in (
        ({"weights": "mean"}, "weights=mean: must be one of saved, raw"),
        ({"dtype": torch.int8}, r"dtype=torch\.int8: must be a type of floats"),
        ({"dtype": "float16"}, r"dtype=float16: must be a type of floats"),
    ):
        with pytest.raises(ValueError, match=message):
            cyclip_pl.load(official, **settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_importing_is_light_and_loading_needs_no_lightning(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    program = f"""
import sys
import cyclip_pl
assert "load" in dir(cyclip_pl)
assert not {{"torch", "numpy", "lightning", "open_clip"}} & set(sys.modules)
cyclip_pl.load({str(run)!r})
heavy = {{"lightning", "hydra", "omegaconf", "torchmetrics", "pandas", "webdataset"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
