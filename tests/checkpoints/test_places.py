"""Local folders and URLs offer the same."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from cyclip_pl.checkpoints.places import (
    LocalFolder,
    RemoteFolder,
    fetched,
    folder,
    is_file,
    located,
    split,
)


@pytest.fixture(params=["path", "file", "memory", "dir"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    base = f"memory://{uuid4()}"
    return {
        "path": f"{tmp_path}/new",
        "file": f"file://{tmp_path}/new",
        "memory": f"{base}/new",
        "dir": f"dir://new::{base}",
    }[request.param]


def _read(path: Path | str) -> bytes:
    source = fetched(path)
    return source.read_bytes() if isinstance(source, Path) else source.read()


def test_write_keep_remove(place: str) -> None:
    here = folder(place)
    assert here.names() == []
    for content in (b"first", b"second"):
        here.write("last.ckpt", lambda file, content=content: file.write(content))
    here.keep("last.ckpt", "step_2.ckpt")
    here.keep("last.ckpt", "step_2.ckpt")
    here.write("last.ckpt", lambda file: file.write(b"third"))
    assert sorted(here.names()) == ["last.ckpt", "step_2.ckpt"]
    assert _read(here.at("last.ckpt")) == b"third"
    assert _read(here.at("step_2.ckpt")) == b"second"
    assert is_file(here.at("last.ckpt")) and not is_file(here.at("none.ckpt"))
    there, name = split(here.at("last.ckpt"))
    assert name == "last.ckpt" and there.at(name) == here.at(name)
    here.remove("step_2.ckpt")
    assert here.names() == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(place: str) -> None:
    here = folder(place)
    here.write("last.ckpt", lambda file: file.write(b"old"))

    def half(file) -> None:
        file.write(b"ne")
        raise OSError("the server has gone")

    with pytest.raises(OSError, match="the server has gone"):
        here.write("last.ckpt", half)
    assert here.names() == ["last.ckpt"]
    assert _read(here.at("last.ckpt")) == b"old"


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path: Path) -> None:
    for name in (".last.ckpt.ab12.partial", ".best.ckpt.cd34.partial", "mine.partial"):
        (tmp_path / name).touch()
    LocalFolder(tmp_path).write("last.ckpt", lambda file: file.write(b"x"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "mine.partial"]


def test_a_copy_is_kept_at_no_space_and_also_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = LocalFolder(tmp_path)
    here.write("last.ckpt", lambda file: file.write(b"x"))
    here.keep("last.ckpt", "step_1.ckpt")
    assert os.path.samefile(tmp_path / "last.ckpt", tmp_path / "step_1.ckpt")

    def none(*unused: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", none)
    here.keep("last.ckpt", "step_2.ckpt")
    assert sorted(here.names()) == ["step_1.ckpt", "step_2.ckpt"]


def test_a_kind_of_url_that_nothing_opens_is_refused() -> None:
    with pytest.raises(ValueError, match="^nowhere://bucket/x: cannot be opened: .*nowhere"):
        RemoteFolder("nowhere://bucket/x")
    with pytest.raises(ValueError, match="^nowhere://bucket/x: cannot be opened"):
        is_file("nowhere://bucket/x")


def test_what_cannot_be_fetched_is_an_oserror() -> None:
    with pytest.raises(OSError, match="none"):
        fetched(f"memory://{uuid4()}/none")


def test_local_paths_in_all_their_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located("~/x") == located(tmp_path / "x") == located(f"file://{tmp_path}/x")
    assert located("memory://a//b") == "memory://a//b"


def test_a_remote_file_appears_whole_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    base = f"memory://{uuid4()}"
    here, seen = folder(base), []

    def dump(file) -> None:
        file.write(b"half")
        seen.append(fsspec.filesystem("memory").exists(f"{base}/last.ckpt"))
        file.write(b"whole")

    here.write("last.ckpt", dump)
    assert seen == [False]
