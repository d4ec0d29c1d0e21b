"""The tutorials do what they say: their files are written, their commands are run, shrunk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_train_on_your_own_images(checkout: Path) -> None:
    for split, images in (("train", 48), ("test", 24)):
        for index in range(images):
            folder = checkout / "mine" / split / CLASSES[index % len(CLASSES)]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index}.png").write_bytes(shape_png(index))
    for script in ("tables.py", "classify.py", "caption_set.py"):
        _write(checkout, script)

    small = ["trainer.max_steps=2", "data.batch_size=24", "trainer.accelerator=cpu"]
    for words in _commands("own_images.md"):
        match words[1]:
            case "train.py" if "encoder=rn50" in words:
                continue
            case "train.py":
                assert "mine" in _shell(checkout, words, *small)
                assert (checkout / "runs/mine/checkpoints/best.ckpt").is_file()
            case "eval.py":
                _shell(checkout, words, "accelerator=cpu", "hydra.run.dir=evaluated")
                assert (checkout / "evaluated/metrics.json").is_file()
            case "classify.py":
                names = ["red circle", "blue bar"]
                image = "mine/test/red circle/1.png"
                said = _shell(checkout, ["python", "classify.py", "runs/mine", image, *names])
                assert all(name in said for name in names)
            case _:
                _shell(checkout, words)


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
