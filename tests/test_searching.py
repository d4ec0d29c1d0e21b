"""The command: its settings, its errors, what it prints, and its end."""

from __future__ import annotations

import json
import signal
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from cyclip_pl import searching
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.projectors.linear import Linear
from cyclip_pl.search.engine import Engine
from cyclip_pl.search.server import SearchServer
from cyclip_pl.searching import named, search
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.evaluation_sets import coded_set
from tests.helpers.processes import Process


def write_checkpoint(path: Path, seed: int = 0, **weights: torch.Tensor) -> Path:
    """A model that was never trained."""
    torch.manual_seed(seed)
    state = {f"encoder.{k}": v for k, v in DualEncoder(VIT, 32).state_dict().items()}
    state |= {f"projector.{k}": v for k, v in Linear(12, 6).state_dict().items()}
    encoder = {"_target_": "cyclip_pl.encoders.dual.DualEncoder", "architecture": VIT}
    config = {
        "encoder": encoder | {"image_size": 32, "pretrained": None},
        "projector": {"_target_": "cyclip_pl.projectors.linear.Linear", "dim": 6},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state | weights, "config": config, "scale": 20.0}, path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("clip", "cyclip")):
        write_checkpoint(folder / name / "checkpoints" / "last.ckpt", seed)
    return folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that would be served."""
    engines: list[Engine] = []
    monkeypatch.setattr(SearchServer, "serve", lambda self, engine: engines.append(engine))
    return engines


def settings(*overrides: str, cache: Path) -> Any:
    more = (f"cache={cache}", "port=0", "device=cpu")
    return composed(*overrides, *more, config_name="search")


def test_two_runs(runs: Path, world: Path, tmp_path: Path, served, capsys, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(searching.webbrowser, "open", opened.append)
    both = f"checkpoint=[{runs}/clip,{runs}/cyclip]"
    search(settings(both, f"shards={world}/captions", cache=tmp_path))
    (engine,) = served
    assert engine.about()["models"] == ["clip", "cyclip"]
    first, second = (model["images"] for model in engine.by_text("a red bar", 5)["models"])
    assert first != second
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "36 images with 24 different captions in 4 shards"
    assert printed[1].startswith("search at http://127.0.0.1:") and len(printed) == 2
    assert not opened
    # Nothing is encoded the second time, and the answers are the same.
    monkeypatch.setattr(searching, "image_rows", _no_encoding(searching.image_rows))
    search(settings(both, f"shards={world}/captions", "open=true", cache=tmp_path))
    assert served[1].by_text("a red bar", 5) == engine.by_text("a red bar", 5)
    assert opened == [capsys.readouterr().out.splitlines()[1].split()[2]]


def _no_encoding(image_rows):
    def checked(model, listing, own, *more):
        assert (own / "images.npy").is_file() and (own / "texts.npy").is_file()
        return image_rows(model, listing, own, *more)

    return checked


def test_broken_and_left_out_samples_are_counted(
    runs: Path, tmp_path: Path, served, capsys
) -> None:
    coded_set(tmp_path / "set", [0, 1, 0, 1, 0], ["red", "blue"], broken=[2])
    search(settings(f"checkpoint={runs}/clip", f"shards={tmp_path}/set", cache=tmp_path / "c"))
    assert "cannot be decoded, and are not found: 1\n" in capsys.readouterr().out
    only = ("limit=2", f"shards={tmp_path}/set")
    search(settings(f"checkpoint={runs}/clip", *only, cache=tmp_path / "c"))
    assert [len(engine.listing) for engine in served] == [5, 2]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["shards=/nowhere"], "shards: '/nowhere' does not exist"),
        (["checkpoint=/nowhere"], "/nowhere"),
        (["device=cuda:99"], "device=cuda:99: cannot be used here"),
        (["device=coal"], "device=coal: cannot be used here"),
        (["host=192.0.2.1"], "host=192.0.2.1 port=0: cannot listen there"),
        (["cache=/proc/x"], "cache=/proc/x: "),
        (["checkpoint={A: 3}"], "checkpoint: A must be a checkpoint, not 3"),
    ],
)
def test_errors_are_one_line(overrides, told, runs: Path, world: Path, tmp_path: Path) -> None:
    config = settings(f"checkpoint={runs}/clip", f"shards={world}/shapes", cache=tmp_path)
    for override in overrides:
        key, _, value = override.partition("=")
        config[key] = {"A": 3} if value.startswith("{") else value
    with pytest.raises(ValueError) as caught:
        search(config)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_without_a_sound_image(runs: Path, tmp_path: Path) -> None:
    coded_set(tmp_path / "set", [0], ["red"], broken=[0], shards=1)
    config = settings(f"checkpoint={runs}/clip", f"shards={tmp_path}/set", cache=tmp_path / "c")
    with pytest.raises(ValueError, match="^shards: clip has no finite embedding of any image"):
        search(config)


def test_names_of_models() -> None:
    assert named("runs/a") == {"a": "runs/a"}
    assert list(named(["runs/a/checkpoints/last.ckpt", "hf-hub:ORG/B", "c.ckpt"])) == [
        "a",
        "B",
        "c.ckpt",
    ]
    assert list(named(["x/run/", "y/run"])) == ["x/run/", "y/run"]
    assert named({"CLIP": "x", 7: "y"}) == {"CLIP": "x", "7": "y"}
    with pytest.raises(ValueError, match="listed twice"):
        named(["a", "a"])
    with pytest.raises(ValueError, match="must be a checkpoint"):
        named([["a"]])


@pytest.mark.slow
def test_it_serves_until_ctrl_c_and_leaves_nothing(runs: Path, world: Path, tmp_path: Path) -> None:
    command = "from cyclip_pl.cli import search; search()"
    place = (f"cache={tmp_path}/cache", "port=0", "device=cpu", f"shards={world}/shapes")
    work = tmp_path / "work"
    work.mkdir()
    process = Process(sys.executable, "-c", command, f"checkpoint={runs}/clip", *place, cwd=work)
    process.until("Ctrl-C ends it")
    url = process.lines()[-1].split()[2]
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", "/search?text=red&k=3")
    assert len(json.loads(connection.getresponse().read())["models"][0]["images"]) == 3
    port = urlsplit(url).port
    second = Process(
        *(sys.executable, "-c", command, f"checkpoint={runs}/clip", *place, f"port={port}"),
        cwd=work,
    )
    assert second.status() == 1
    assert second.lines()[-1].startswith(f"error: port={port}: is in use")
    process.send_to_all(signal.SIGINT)
    assert process.status() == 130
    assert process.lines()[-1] == "stopped by SIGINT"
    assert "Traceback" not in process.output()
    assert not process.left() and not list(work.iterdir())
