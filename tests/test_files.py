from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NoReturn

import pytest

from cyclip_pl.files import atomic, atomic_folder, reason


def test_atomic_writes_whole(tmp_path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as partial:
        partial.write_text("new")
        assert not path.exists() and partial.parent == path.parent
    assert path.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_atomic_syncs_the_file_then_renames_then_syncs_the_folder(tmp_path, monkeypatch) -> None:
    path, calls = tmp_path / "a.txt", []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        calls.append(f"sync {kind}")
        sync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda *args: (calls.append("rename"), replace(*args)))
    with atomic(path) as partial:
        partial.write_text("new")
    assert calls == ["sync file", "rename", "sync folder"]


def test_atomic_keeps_the_old_file_when_the_block_raises(tmp_path) -> NoReturn:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic(path) as partial:
        partial.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_writes_whole(tmp_path) -> None:
    path = tmp_path / "new" / "a"
    with atomic_folder(path) as partial:
        (partial / "x").write_text("1")
        (partial / "x").chmod(0o600)
        assert not path.exists() and partial.parent == path.parent
    assert [p.name for p in path.parent.iterdir()] == ["a"]
    assert (path / "x").read_text() == "1"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((path / "x").stat().st_mode) == 0o666 & ~mask


def test_atomic_folder_keeps_the_old_one_when_the_block_raises(tmp_path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "x").write_text("old")
    with pytest.raises(OSError, match="full"), atomic_folder(path, overwrite=True) as partial:
        (partial / "x").write_text("ne")
        raise OSError("full")
    assert (path / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_keeps_the_old_one_when_it_cannot_be_renamed(tmp_path, monkeypatch) -> None:
    path, rename = tmp_path / "a", Path.rename
    path.mkdir()
    (path / "x").write_text("old")

    def renamed(old: Path, new: Path) -> None:
        if old.suffix == ".partial":
            raise OSError("the disk failed")
        rename(old, new)

    with pytest.raises(OSError, match="failed"), atomic_folder(path, overwrite=True):
        monkeypatch.setattr(Path, "rename", renamed)
    assert (path / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_atomic_folder_replaces(tmp_path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with atomic_folder(path) as partial:  # an empty one
        (partial / "x").touch()
    with pytest.raises(FileExistsError, match="is not empty"), atomic_folder(path):
        pytest.fail("begun")
    with atomic_folder(path, overwrite=True) as partial:
        (partial / "y").touch()
    assert [p.name for p in path.iterdir()] == ["y"]
    for other in (tmp_path / "file", tmp_path / "link"):
        other.symlink_to(path) if other.name == "link" else other.touch()
        with pytest.raises(FileExistsError, match="not a folder"), atomic_folder(other, True):
            pytest.fail("begun")


def test_reason() -> None:
    assert reason(ValueError("a\n  b")) == "a b"
    assert reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 999))) == 200
