"""Files behind URLs: a server on this machine stands for the network."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclip_pl import http_file
from cyclip_pl.remote_files import check_url, download, local_path, open_url
from tests.helpers.http_server import Server, serving

DATA = bytes(range(256)) * 9000  # more than one buffer


@pytest.fixture
def server(tmp_path: Path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(http_file, "RETRY_AFTER", (0.01, 0.01))
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bin").write_bytes(DATA)
    with serving(folder) as served:
        yield served


def read(url: str) -> bytes:
    with open_url(url) as file:
        return file.read()


def test_local_paths() -> None:
    assert local_path("d/0.tar") == "d/0.tar"
    assert local_path("file:///d/0%20a.tar") == "/d/0 a.tar"
    assert local_path("http://h/0.tar") is None
    assert local_path("pipe:cat /d/0.tar") is None


def test_paths_urls_and_commands(server: Server) -> None:
    path = server.folder / "a.bin"
    for url in (str(path), path.as_uri(), f"{server.url}/a.bin"):
        assert read(url) == DATA
    with open_url(f"pipe:cat {path}", allow_pipe=True) as file:
        assert file.read() == DATA
    assert server.asked == ["/a.bin"]  # one request, no HEAD before it


def test_other_kinds_of_storage() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/bucket/a", DATA)
    assert read("memory://bucket/a") == DATA
    with pytest.raises(FileNotFoundError, match="^not found$"):
        open_url("memory://bucket/b")


def test_unknown_kinds_are_refused_before_they_are_opened() -> None:
    for url in ("a/b.tar", "file:/a", "pipe:cat a", "https://h/a", "hf://datasets/a/b/c"):
        check_url(url)
    for url in ("htp://host/0.tar", "nobody://h/a", "PIPE:cat a", "zip://a::http://h/b.zip"):
        with pytest.raises(ValueError, match=f"^cannot open '{url}': ") as caught:
            check_url(url)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scheme", ["s3", "gs", "htgs", "ais", "hf", "sftp", "scp", "ftps", "https"]
)
def test_no_url_runs_a_command(scheme: str, tmp_path: Path, monkeypatch) -> None:
    """WebDataset's own opener gives such URLs to `gsutil`, `ais`, `curl`."""

    def ran(*args: object, **kwargs: object) -> None:
        pytest.fail(f"a process was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", ran)
    monkeypatch.setattr(os, "system", ran)
    monkeypatch.setattr(http_file, "RETRY_AFTER", ())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for text in ("$(touch ran)", "`touch ran`", "a;touch ran", "a|touch ran", "-o ran"):
        with pytest.raises((OSError, ValueError)):
            open_url(f"{scheme}://no-such-host.invalid/{text}/0.tar", allow_pipe=True)


def test_a_command_runs_only_where_it_may(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="^a command is not run here$"):
        open_url(f"pipe:touch {tmp_path}/ran")
    assert list(tmp_path.iterdir()) == []


def test_errors_say_why(server: Server, tmp_path: Path) -> None:
    server.status["/a.bin"] = [403]
    with pytest.raises(OSError, match="^the server answered 403 Forbidden$"):
        open_url(f"{server.url}/a.bin")
    with pytest.raises(FileNotFoundError, match="^the server answered 404"):
        open_url(f"{server.url}/b.bin")
    with pytest.raises(OSError, match="onnect"):
        open_url("http://127.0.0.1:9/a.bin")
    with pytest.raises(OSError, match="No such file"):
        open_url(str(tmp_path / "absent"))


def test_a_file_that_breaks_off_is_an_error_and_leaves_nothing(
    server: Server, tmp_path: Path
) -> None:
    url, path = f"{server.url}/a.bin", tmp_path / "copy/a.bin"
    server.cut.append("/a.bin")
    server.ranges = False
    with pytest.raises(OSError, match="^it broke off before its end$"):
        download(url, path)
    assert list(path.parent.iterdir()) == []
    server.cut.clear()
    download(url, path)
    assert path.read_bytes() == DATA


def _child(url: str) -> None:
    assert read(url) == DATA


def test_a_forked_worker_reads_as_well(server: Server) -> None:
    """The loader's workers are forked from a process that may have read already."""
    url = f"{server.url}/a.bin"
    _child(url)
    worker = multiprocessing.get_context("fork").Process(target=_child, args=(url,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
