"""Adding an evaluation is three new files and no edit: done here, to a copy of the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.world import shrunk

ROOT = Path(__file__).parents[1]

PROTOCOL = '''
"""How far the true class is ahead of the best other one."""

from __future__ import annotations

import torch

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets


class Margin(Protocol[LabelledSet]):
    """`margin`, the mean lead of the true class, and `samples`.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        name, library: See `Protocol`.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        templates: Prompts = None,
        name: str = "margin",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        self.specs = named_sets(datasets, self.setting("datasets"))

    def _open(self) -> list[LabelledSet]:
        return self.labelled(self.specs, "datasets")

    def _add(self, results: Results, dataset: LabelledSet, store: FeatureStore) -> None:
        images, classifier = store.images(dataset), self.classifier(dataset, store)
        margins = []
        for block in images.blocks:
            score_nK = classifier(block.embedding_nD)
            true_n1 = score_nK.gather(1, block.label_n[:, None])
            other_nK = score_nK.scatter(1, block.label_n[:, None], -torch.inf)
            margins.append(true_n1[:, 0] - other_nK.amax(1))
        margin_n = torch.cat(margins)
        metrics = {"margin": images.whole(margin_n).double().mean(), "samples": images.total}
        details = {"protocol": self.protocol(templates=self.templates.title)}
        predictions = images.columns(dataset, margin=margin_n)
        results.add(dataset.name, self.name, metrics, details, predictions)
'''
YAML = """margin:
  _target_: cyclip_pl.evaluation.protocols.margin.Margin
  datasets: ${oc.select:evaluation.datasets,${evaluation.default_sets.test}}
  split: test
  templates: null
  cadence: {every_n_epochs: null, every_n_steps: null}
"""
TEST = """
import torch

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.margin import Margin
from tests.helpers.protocols import table, write_sets


def test_perfect_embeddings_lead_by_one(tmp_path):
    folder = write_sets(tmp_path, [0, 1, 2], [0, 1])
    metrics = Margin([str(folder / "s")])(FeatureStore(table(torch.eye(6), torch.eye(6)))).metrics
    assert metrics == {"s/margin/margin": 1, "s/margin/samples": 3}
"""


@pytest.mark.slow
def test_three_files_and_no_edit(world: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("cyclip_pl", "conf", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "cyclip_pl/evaluation/protocols/margin.py").write_text(PROTOCOL)
    (tmp_path / "conf/evaluation/margin.yaml").write_text(YAML)
    tests = "tests/evaluation/protocols"
    (tmp_path / tests / "test_margin.py").write_text(TEST)

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    contract = [sys.executable, "-m", "pytest", "-q", f"{tests}/test_contract.py",
                f"{tests}/test_margin.py", "-k", "margin and not chance"]  # fmt: skip
    training = [sys.executable, "train.py", "evaluation=[zero_shot,margin]", *shrunk(world),
                f"evaluation.margin.datasets=[{world}/shapes]",
                f"hydra.run.dir={tmp_path}/run"]  # fmt: skip
    for command in (contract, training):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "shapes/margin/margin" in json.loads((tmp_path / "run/metrics.json").read_text())
    # Without its test the contract is broken.
    (tmp_path / tests / "test_margin.py").unlink()
    contract = [*contract[:5], "-k", "margin and file"]
    done = subprocess.run(contract, cwd=tmp_path, env=environment, capture_output=True, timeout=900)
    assert done.returncode == 1
