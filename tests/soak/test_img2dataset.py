"""img2dataset itself, over loopback, and what is made of its output.

It needs an environment of its own: it pins webdataset below 0.3, and installs 0.8 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.http_server import serving
from tests.helpers.img2dataset import LIST, OPTIONS, check, write_web
from tests.helpers.world import shrunk, write_world

pytestmark = pytest.mark.soak
STORED = Path(__file__).parents[1] / "data" / "img2dataset"


@pytest.fixture(scope="module")
def img2dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, newly installed."""
    folder = tmp_path_factory.mktemp("img2dataset")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    pip = [f"{folder}/bin/python", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "img2dataset>=1.47,<2"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=900)
    if "No matching distribution" in done.stderr:
        pytest.skip("pip reaches no index that has img2dataset")
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "img2dataset"


@pytest.fixture(scope="module")
def output(img2dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    web, out = folder / "web", folder / "out"
    web.mkdir()
    with serving(web) as server:
        web.rmdir()
        write_web(web, server.url)
        command = [img2dataset, f"--url_list={web}/{LIST}", f"--output_folder={out}"]
        done = subprocess.run(
            [*map(str, command), *OPTIONS.split()],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_its_output_is_read_as_it_is(output: Path, tmp_path: Path) -> None:
    check(output, tmp_path)


def test_the_stored_output_is_of_its_kind(output: Path) -> None:
    def described(folder: Path) -> dict[str, object]:
        stats = {path.name: json.loads(path.read_text()) for path in folder.glob("*_stats.json")}
        names = {path.name for path in folder.iterdir()} - {"README.md"}
        counts = ("count", "successes", "failed_to_download", "failed_to_resize", "status_dict")
        return {"names": names} | {
            name: {count: some[count] for count in counts} for name, some in stats.items()
        }

    assert described(output) == described(STORED)


def test_a_run_trains_on_it(output: Path, tmp_path: Path) -> None:
    world = write_world(tmp_path / "world")
    overrides = [o for o in shrunk(world) if not o.startswith(("data.train", "data.batch"))]
    config = composed(
        *overrides, f"data.train.shards={output}", "data.batch_size=3", run_dir=tmp_path / "run"
    )
    metrics = train(config)
    assert metrics["train/skipped"] == 0
