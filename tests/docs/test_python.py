"""The examples in docstrings and the Python of docs/models.md run, on a run folder `runs/demo`."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import cyclip_pl
from cyclip_pl.models import base, load
from tests.docs.pages import ROOT, blocks
from tests.helpers.model_sources import write_run


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the examples take for granted, in a folder that has the files they name."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/demo"))
    image = Image.new("RGB", (60, 40), "red")
    image.save("photo.png")
    model = cyclip_pl.load("runs/demo")
    return {"cyclip_pl": cyclip_pl, "torch": torch, "model": model, "image": image}


@pytest.mark.parametrize(
    "function", [load.load, base.ImageTextModel.classify], ids=lambda f: f.__name__
)
def test_docstrings(names: dict[str, Any], function: Any) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(function, globs=names)
    runner = doctest.DocTestRunner(verbose=False)
    result = runner.run(example)
    assert result.attempted >= 3 and result.failed == 0


def test_the_page_of_models(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """All blocks one after another, as a reader types them."""
    texts = [block.text for block in blocks(ROOT / "docs/models.md") if block.language == "python"]
    assert len(texts) >= 3
    scope: dict[str, Any] = {}
    for text in texts:
        exec(text, scope)
    printed = capsys.readouterr().out
    assert "a red square" in printed and "torch.Size([2, 2])" in printed
    gradients = [weight.grad for weight in scope["model"].parameters() if weight.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
