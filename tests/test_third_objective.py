"""Adding an objective is three new files and no edit: done here, to a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

OBJECTIVE = '''
import torch
from torch import Tensor

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.objectives.base import Objective
from cyclip_pl.types import Embeddings


class Alignment(Objective):
    """Mean squared distance of the pairs."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        distances = torch.stack(
            [sum_over_ranks((i - t).square().sum()) / len(i) for i, t in embeddings.pairs()]
        )
        alignment = distances.mean() / world_size()
        return {"total": self.weight * alignment, "alignment": alignment}
'''
YAML = "_target_: cyclip_pl.objectives.alignment.Alignment\nweight: 1.0\n"
TEST = """
import torch

from cyclip_pl.objectives.alignment import Alignment
from cyclip_pl.types import Embeddings


def test_equal_rows_cost_nothing():
    x = torch.eye(3)[None]
    assert Alignment()(Embeddings(x, x))["total"] == 0
"""


def test_three_files_and_no_edit(world, tmp_path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("cyclip_pl", "conf", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "cyclip_pl/objectives/alignment.py").write_text(OBJECTIVE)
    (tmp_path / "conf/objective/alignment.yaml").write_text(YAML)
    (tmp_path / "tests/objectives/test_alignment.py").write_text(TEST)

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    contract = [sys.executable, "-m", "pytest", "-q", "tests/objectives/test_contract.py",
                "tests/objectives/test_alignment.py", "-k", "alignment or ranks"]  # fmt: skip
    training = [sys.executable, "train.py", "objective=alignment", *shrunk(world),
                f"hydra.run.dir={tmp_path}/run"]  # fmt: skip
    for command in (contract, training):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "train/alignment" in (tmp_path / "run/csv/metrics.csv").read_text()
    # Without its test the contract is broken.
    (tmp_path / "tests/objectives/test_alignment.py").unlink()
    contract.remove("tests/objectives/test_alignment.py")
    done = subprocess.run(contract, cwd=tmp_path, env=environment, capture_output=True, timeout=600)
    assert done.returncode == 1
