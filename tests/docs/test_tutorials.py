"""The tutorials do what they say: their files are written, their commands are run, shrunk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import open_clip
import pytest

from cyclip_pl.data.prepare.__main__ import main as prepare
from cyclip_pl.reports.__main__ import main as report
from tests.docs.commands import commands
from tests.docs.pages import FILES, ROOT, blocks
from tests.helpers.world import CLASSES, shape_png, shrunk

pytestmark = pytest.mark.slow

TUTORIALS = ROOT / "docs" / "tutorials"


def _shell(folder: Path, words: list[str], *further: str) -> str:
    """Run a command of a page in `folder`, where it finds `train.py` as in a checkout."""
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:], *further],
        cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _commands(page: str) -> list[list[str]]:
    return [
        words
        for block in blocks(TUTORIALS / page)
        if block.language == "sh"
        for words in commands(block)
    ]


def _write(folder: Path, title: str) -> None:
    path = folder / title
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[title])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a reader has: the two scripts and the configuration; the package is installed."""
    for script in ("train.py", "eval.py"):
        shutil.copy(ROOT / script, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_train_on_your_own_images(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(path: Path, index: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shape_png(index, 24 + index // len(CLASSES)))

    for index in range(72):
        name = CLASSES[index % len(CLASSES)]
        folder = name.replace(" ", "_")
        write(checkout / "mine" / folder / f"{index}.png", index)
        write(checkout / "split" / ("test" if index < 12 else "train") / folder / "a.png", index)
        write(checkout / "captioned" / f"{index}.png", index)
        (checkout / "captioned" / f"{index}.txt").write_text(f"a {name}\nthe {name}\n")
    _write(checkout, "classify.py")

    small = ["trainer.max_steps=2", "data.batch_size=24", "trainer.accelerator=cpu"]
    evaluated = []
    for words in _commands("own_images.md"):
        match words[:2]:
            case ["cyclip-prepare", _]:
                relative = {"--folder", "--output"}
                paths = [
                    str(checkout / word) if before in relative else word
                    for before, word in pairwise(words)
                ]
                assert prepare(paths) == 0
            case [_, "train.py"] if "encoder=rn50" in words:
                continue
            case [_, "train.py"]:
                _shell(checkout, words, *small)
                run = next(w.partition("=")[2] for w in words if w.startswith("hydra.run.dir"))
                assert (checkout / run / "checkpoints/best.ckpt").is_file()
            case [_, "eval.py"]:
                run = f"evaluated{len(evaluated)}"
                _shell(checkout, words, "accelerator=cpu", f"hydra.run.dir={run}")
                evaluated.append(json.loads((checkout / run / "metrics.json").read_text()))
            case [_, "classify.py"]:
                said = _shell(checkout, words)
                assert "red circle" in said and "blue square" in said
            case ["cyclip-report", _]:
                assert report([str(checkout / w) if "/" in w else w for w in words[1:]]) == 0
            case ["cyclip-export", _]:
                command = ["python", "-c", "from cyclip_pl.cli import export; export()"]
                _shell(checkout, command, *words[1:])
                model, _, _ = open_clip.create_model_and_transforms(
                    f"local-dir:{checkout}/exported"
                )
                assert model.visual.image_size in (32, (32, 32))
            case ["cyclip-search", *_]:
                continue  # it serves until it is stopped; tests/test_searching.py does that
            case _:
                pytest.fail(f"the test does not run {words}")
    assert (checkout / "runs/report/report.html").is_file()
    classes, captions = evaluated
    assert {"classes/zero_shot/acc1", "classes/geometry/alignment"} <= classes.keys()
    assert any(metric.startswith("classes/knn/") for metric in classes)
    assert "captions/retrieval/text_to_image_r1" in captions
    assert "0 bad rows" in capsys.readouterr().out
    assert (checkout / "data/split_classes/test/nshards.txt").is_file()


@pytest.mark.slow
def test_evaluate_any_model(checkout: Path, world: Path) -> None:
    for title in ("my_model.py", "my_conf/model/mine.yaml"):
        _write(checkout, title)
    (words,) = [words for words in _commands("evaluate_any_model.md") if "model=mine" in words]
    said = _shell(
        checkout, words, f"evaluation.datasets=[{world}/shapes]", "accelerator=cpu",
        f"hydra.run.dir={checkout}/run",
    )  # fmt: skip
    assert "shapes" in said


@pytest.mark.slow
def test_add_an_objective(tmp_path: Path, world: Path) -> None:
    """Three new files and no edit, in a copy of the project."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("cyclip_pl", "conf", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    titles = [b.title for b in blocks(TUTORIALS / "add_an_objective.md") if b.title]
    assert len(titles) == 3
    assert not any((tmp_path / title).exists() for title in titles), "three files and no edit"
    for title in titles:
        _write(tmp_path, title)

    tests, training, _ = _commands("add_an_objective.md")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert tests[-1] == "tests/objectives/test_alignment.py"
    contract = [*tests, "-k", "alignment or ranks"]
    for words in (contract, [*training, *shrunk(world), "hydra.run.dir=run"]):
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert "train/alignment" in (tmp_path / "run/csv/metrics.csv").read_text()
    # Without its test the contract is broken.
    (tmp_path / "tests/objectives/test_alignment.py").unlink()
    done = subprocess.run(
        [sys.executable, *tests[1:-1], "-k", "config and alignment"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "assert_has_test" in done.stdout
