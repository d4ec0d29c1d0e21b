"""docs/metrics.md: its code runs, and its table has every class; docstrings have an example."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

import cyclip_pl.metrics
from cyclip_pl.metrics.base import BaseMetric
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "metrics.md"
MODULES = [
    importlib.import_module(f"cyclip_pl.metrics.{module.name}")
    for module in pkgutil.iter_modules(cyclip_pl.metrics.__path__)
]
CLASSES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": of
    for module in MODULES
    for name, of in vars(module).items()
    if isinstance(of, type) and issubclass(of, BaseMetric) and of.__module__ == module.__name__
}
SHARED = {
    "base.BaseMetric",
    "base.ExactSums",
    "base.RowSums",
    "base.Shares",
    "accuracy.ClassHits",
    "alignment.Alignment",
}


def test_the_table_has_every_class() -> None:
    listed = re.findall(r"^\| `(\w+\.\w+)\(", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(CLASSES.keys() - SHARED)


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - SHARED))
def test_a_docstring_has_an_example_of_three_lines(name: str) -> None:
    lines = [
        line for line in (CLASSES[name].__doc__ or "").splitlines() if line.startswith(" " * 8)
    ]
    compile("\n".join(line.strip() for line in lines[:3]), name, "exec")
    assert CLASSES[name].__name__ in lines[0]


def test_the_code_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, Any] = {}
    for block in blocks(PAGE):
        exec(block.text, space)
    assert "mean_per_class_recall" in capsys.readouterr().out
    data = TensorDataset(torch.randn(20, 48), torch.randn(20, 32), torch.arange(20) % 10)
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    (logged,) = trainer.validate(space["MyModel"](), DataLoader(data, 8), verbose=False)
    assert {"val/acc1", "val/gap", "val/image_to_text_r5"} <= logged.keys()
