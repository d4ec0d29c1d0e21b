from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cyclip_pl.data.prepare.folder import building, write_meta

SETTINGS = {"prepared": "test", "size": 3}


def fill(folder: Path, text: str = "content", settings: dict = SETTINGS) -> None:
    (folder / "file.txt").write_text(text)
    write_meta(folder, settings, {"count": 1})


def test_a_finished_folder_is_whole_and_is_not_made_twice(tmp_path) -> None:
    output = tmp_path / "deep" / "output"
    with building(output, SETTINGS) as folder:
        fill(folder)
        assert not output.exists()
    assert json.loads((output / "meta.json").read_text()) == {**SETTINGS, "count": 1}
    with building(output, SETTINGS) as folder:
        assert folder is None
    assert {path.name for path in output.iterdir()} == {"file.txt", "meta.json"}


def test_a_failure_leaves_nothing(tmp_path) -> None:
    with pytest.raises(RuntimeError), building(tmp_path / "output", SETTINGS) as folder:
        (folder / "file.txt").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [".output.lock"]


@pytest.mark.slow
def test_a_killed_preparation_never_looks_finished(tmp_path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from cyclip_pl.data.prepare.folder import building\n"
        "with building(pathlib.Path(sys.argv[1]), {}) as folder:\n"
        "    (folder / 'stale.txt').write_text('half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    output = tmp_path / "output"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(output)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    with building(output, SETTINGS) as folder:
        fill(folder)
    assert {path.name for path in output.iterdir()} == {"file.txt", "meta.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"output", ".output.lock"}


def test_a_second_writer_waits_and_finds_it_done(tmp_path, capsys) -> None:
    pytest.importorskip("fcntl")
    output, started, go_on = tmp_path / "output", threading.Event(), threading.Event()
    made = []

    def build(text: str) -> None:
        with building(output, SETTINGS) as folder:
            made.append(folder is not None)
            if folder is not None:
                started.set()
                assert go_on.wait(30)
                fill(folder, text)

    first = threading.Thread(target=build, args=("first",))
    first.start()
    assert started.wait(30)
    second = threading.Thread(target=build, args=("second",))
    second.start()
    second.join(0.2)
    assert second.is_alive() and made == [True]
    go_on.set()
    first.join(30)
    second.join(30)
    assert made == [True, False]
    assert (output / "file.txt").read_text() == "first"
    assert "waiting for another process" in capsys.readouterr().err


def test_other_settings_are_refused_and_forced(tmp_path) -> None:
    output = tmp_path / "output"
    with building(output, SETTINGS) as folder:
        fill(folder)
    other = {**SETTINGS, "size": 4}
    with (
        pytest.raises(ValueError, match=r"size=3, not 4; pass --force"),
        building(output, other),
    ):
        pass
    with building(output, other, force=True) as folder:
        fill(folder, "new", other)
        assert (output / "file.txt").read_text() == "content", "the old one stays until the end"
    assert (output / "file.txt").read_text() == "new"


def test_what_an_earlier_version_made_is_replaced_but_not_with_other_settings(tmp_path) -> None:
    output = tmp_path / "output"
    old = {**SETTINGS, "layout": 1}
    with building(output, old) as folder:
        fill(folder, "old", old)
    with pytest.raises(ValueError, match="size=3, not 4"), building(output, {**old, "size": 4}):
        pass
    with building(output, {**old, "layout": 2}) as folder:
        assert folder is not None
        fill(folder, "new", {**old, "layout": 2})
    assert (output / "file.txt").read_text() == "new"
    with building(output, {**old, "layout": 2}) as folder:
        assert folder is None
    with pytest.raises(ValueError, match="layout=2, not 1"), building(output, old):
        pass


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("meta", [None, "{}", "not json", "[]"])
def test_a_folder_of_something_else_is_never_touched(tmp_path, force, meta) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    if meta is not None:
        (output / "meta.json").write_text(meta)
    with (
        pytest.raises(ValueError, match="is not a prepared folder"),
        building(output, SETTINGS, force),
    ):
        pass
    assert (output / "thesis.txt").read_text() == "mine"


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path) -> None:
    real = tmp_path / "elsewhere" / "real"
    real.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(real)
    for text in ("first", "second"):
        with building(link, SETTINGS, force=True) as folder:
            fill(folder, text)
        assert link.is_symlink() and (real / "file.txt").read_text() == text


def test_a_finished_folder_needs_no_write_access(tmp_path) -> None:
    output = tmp_path / "output"
    with building(output, SETTINGS) as folder:
        fill(folder)
    (tmp_path / ".output.lock").unlink()
    with building(output, SETTINGS) as folder:
        assert folder is None
    assert not (tmp_path / ".output.lock").exists()


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    output = tmp_path / "out"
    with building(output, SETTINGS) as folder:
        fill(folder, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = r"^--output .*/out: No space left on device; nothing was written$"
    with (
        pytest.raises(ValueError, match=message),
        building(output, SETTINGS, force=True) as folder,
    ):
        fill(folder, "new")
    assert (output / "file.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"/file.*: .*; nothing was written$"),
        building(tmp_path / "file" / "out", SETTINGS),
    ):
        pass
