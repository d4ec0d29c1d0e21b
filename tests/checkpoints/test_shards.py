"""The folder of a sharded checkpoint is read as the file that one process would write."""

from __future__ import annotations

import logging
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from cyclip_pl.checkpoints import shards
from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint, read_weights, step_of
from cyclip_pl.strategy import FullySharded
from tests.helpers.distributed import run_distributed
from tests.helpers.hostile_files import RAN, Bomb
from tests.helpers.sharded import SHAPES, same, whole, write

RANKS = 3
FILES = [shards.MAIN, *(f"__{rank}_0.distcp" for rank in range(RANKS))]


def _write_two(folder: Path) -> None:
    write(folder / "last.ckpt", 4)
    write(folder / "last.ckpt", 5, "step_4.ckpt")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_distributed(_write_two, RANKS, folder / "checkpoints")
    return folder


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    """A copy, to damage."""
    return Path(shutil.copytree(written, tmp_path / "run"))


def test_it_holds_what_was_saved(written: Path) -> None:
    last = written / "checkpoints" / "last.ckpt"
    assert sorted(path.name for path in last.iterdir()) == sorted([".metadata", *FILES])
    assert sorted(path.name for path in last.parent.iterdir()) == ["last.ckpt", "step_4.ckpt"]
    for path in (written, last, str(last), f"file://{last}"):
        found = checkpoint_file(path)
        assert found == last
        assert same(read_weights(found), whole(5))
        assert same(read_checkpoint(found)["state_dict"], whole(5)["state_dict"])
    assert same(read_weights(last.parent / "step_4.ckpt"), whole(4))
    assert step_of(last) == 5 and step_of(str(last.parent / "step_4.ckpt")) == 4


def test_any_rows_are_read_alone(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last, expected = written / "checkpoints" / "last.ckpt", whole(5)["state_dict"]
    found = read_weights(last, make=lambda at, x: x)["state_dict"]
    read: list[str] = []
    original = shards.Shards._read
    monkeypatch.setattr(
        shards.Shards, "_read", lambda x, part: read.append(part.file) or original(x, part)
    )
    for name, shape in SHAPES.items():
        assert found[name].shape == shape and found[name].ndim == len(shape)
        for start in range(shape[0] + 2):
            for stop in range(shape[0] + 3):
                assert torch.equal(found[name][start:stop], expected[name][start:stop])
    read.clear()
    found["uneven"][3:6]  # 3, 3 and 1 rows
    found["even"][3:5]  # 2, 2 and 2
    assert read == ["__1_0.distcp", "__1_0.distcp", "__2_0.distcp"]


def test_what_is_looked_at_for_its_shape_or_weights_is_not_read_whole(written: Path) -> None:
    last = written / "checkpoints" / "last.ckpt"
    for part, make in (
        ("state_dict", shards.shape_alone),
        ("optimizer_states", shards.weights_alone),
    ):
        found = read_checkpoint(last, make)[part]
        found = found[0]["state"][1] if part == "optimizer_states" else found
        for name, shape in SHAPES.items():
            assert found[name].is_meta and found[name].shape == shape


def test_a_rank_of_fsdp_reads_when_it_fills_in_its_rows(written: Path) -> None:
    last = written / "checkpoints" / "last.ckpt"
    for path in (last, str(last)):
        found = FullySharded().load_checkpoint(path)
        for part in (found["state_dict"], found["optimizer_states"][0]["state"][0]):
            assert all(isinstance(part[name], shards.Shards) for name in SHAPES)


def test_torchs_own_reader_reads_the_tensors(written: Path) -> None:
    expected = whole(5)["state_dict"]
    found = {f"state_dict.{name}": torch.zeros_like(expected[name]) for name in SHAPES}
    with pytest.warns(UserWarning, match="in a single process"):
        dcp.load(found, checkpoint_id=written / "checkpoints" / "last.ckpt", no_dist=True)
    for name in SHAPES:
        assert torch.equal(found[f"state_dict.{name}"], expected[name])


@pytest.mark.parametrize("name", FILES)
def test_damage_is_named_and_the_one_before_is_used(
    run: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    last, before = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "step_4.ckpt"
    original = (last / name).read_bytes()
    middle = len(original) // 2
    cases: dict[str, bytes | None] = {
        "cut": original[:-9],
        "longer": original + b"0",
        "changed": original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :],
        "empty": b"",
        "missing": None,
    }
    if name == shards.MAIN:
        del cases["longer"]  # a zip archive ends where its end says
        at = original.index(b"__1_0.distcp")
        cases["changed"] = original[:at] + b"__2_0" + original[at + 5 :]
    for content in cases.values():
        (last / name).unlink(missing_ok=True)
        if content is not None:
            (last / name).write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert checkpoint_file(run) == before
        assert f"{last}: {name}: " in caplog.text and "damaged, so" in caplog.text
        assert checkpoint_file(last) == last
        with pytest.raises(ValueError, match=f"^{last}: damaged: {name}: .*; use {before}$"):
            read_weights(last)
        assert step_of(last) is None
    (last / name).write_bytes(original)
    assert checkpoint_file(run) == last


def test_a_folder_without_a_whole_one_is_refused(run: Path) -> None:
    for name in ("last.ckpt", "step_4.ckpt"):
        (run / "checkpoints" / name / shards.MAIN).unlink()
    with pytest.raises(ValueError, match=rf"^resume={run}: no checkpoint is whole .*{shards.MAIN}"):
        checkpoint_file(run, "resume")


def _edited(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    main = torch.load(folder / shards.MAIN, weights_only=True)
    edit(main)
    torch.save(main, folder / shards.MAIN)


def test_nothing_of_a_stranger_is_executed(run: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    (last / ".metadata").write_bytes(pickle.dumps(Bomb("metadata")))
    assert same(read_weights(last), whole(5))
    original = (last / "__1_0.distcp").read_bytes()
    for bomb in (pickle.dumps(Bomb("shard"), protocol=2), pickle.dumps(Bomb("shard"))):
        content = bomb.ljust(len(original), b".")
        (last / "__1_0.distcp").write_bytes(content)

        def edit(main: dict[str, Any], content: bytes = content) -> None:
            main["files"]["__1_0.distcp"] = (len(content), zlib.crc32(content))
            for entry in main["tensors"]:
                entry["parts"] = [
                    (*p[:3], 0, len(content)) if p[2] == "__1_0.distcp" else p
                    for p in entry["parts"]
                ]

        _edited(last, edit)
        with pytest.raises(ValueError, match=r"__1_0\.distcp: cannot be read as a checkpoint"):
            read_weights(last)
    torch.save({"checkpoint": {}, "files": {}, "tensors": Bomb("main")}, last / shards.MAIN)
    with pytest.raises(ValueError, match="hostile_files.* nothing in it was executed"):
        read_weights(last)
    assert not RAN


def _first(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda main: main["tensors"][0].update(change)


def _part(*fields: Any) -> Callable[[dict[str, Any]], None]:
    """The only part of the first tensor is this; None leaves a field as it is."""

    def edit(main: dict[str, Any]) -> None:
        entry = main["tensors"][0]
        own = (0, entry["shape"][0], *entry["parts"][0][2:])
        entry["parts"] = [tuple(b if a is None else a for a, b in zip(fields, own, strict=True))]

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        _first({"shape": (2**40, 2)}),
        _first({"shape": (2**62, 2**62)}),
        _first({"shape": (-6, -2)}),
        _first({"shape": ()}),
        _first({"shape": (7, 2)}),
        _first({"shape": "ab"}),
        _first({"shape": (6, 2.0)}),
        _first({"dtype": "torch.float32"}),
        _first({"dtype": torch.float64}),
        _first({"dtype": torch.int32}),
        _first({"parts": []}),
        _first({"parts": [1]}),
        _first({"at": ()}),
        _first({"at": 3}),
        _first({"at": ("state_dict", "none")}),
        _first({"at": ("config", "seed")}),
        _first({"at": ("state_dict", "scale", "x")}),
        _part(None, 2**40, None, None, None),
        _part(1, None, None, None, None),
        lambda main: (_first({"shape": (2**70, 0)})(main), _part(0, *[None] * 4)(main)),
        _part(None, None, "../../secret.pt", None, None),
        _part(None, None, "__9_9.distcp", None, None),
        _part(None, None, None, -5, None),
        _part(None, None, None, None, 10**12),
        _part(None, None, None, None, 3),
        _part(None, None, None, 7, None),
        lambda main: main["tensors"].append(7),
        lambda main: main["files"].update({"../secret.pt": (1, 1)}),
        lambda main: main["files"].update({"__1_0.distcp": 3}),
        lambda main: main["files"].clear(),
        lambda main: main.pop("files"),
        lambda main: main.update(checkpoint=[]),
    ],
)
def test_a_list_that_does_not_fit_is_refused_in_one_line(
    run: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    torch.save({"x": torch.ones(6, 2)}, run / "secret.pt")
    _edited(last, edit)
    with pytest.raises(ValueError) as caught:
        read_weights(last)
    assert str(caught.value).startswith(str(last)) and "\n" not in str(caught.value)
