"""Files behind URLs: a server on this machine stands for the network."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclip_pl import remote_files
from cyclip_pl.remote_files import check_url, download, local_path, open_url
from tests.helpers.http_server import Server, serving

DATA = bytes(range(256)) * 9000  # more than one buffer


@pytest.fixture
def server(tmp_path: Path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(remote_files, "RETRY_AFTER", (0.01, 0.01))
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
    for url in (str(path), path.as_uri(), f"pipe:cat {path}", f"{server.url}/a.bin"):
        assert read(url) == DATA
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
    for url in ("htp://host/0.tar", "nobody://h/a"):
        with pytest.raises(ValueError, match=f"^cannot open '{url}': .*pipe:COMMAND"):
            check_url(url)


def test_errors_say_why(server: Server, tmp_path: Path) -> None:
    server.status["/a.bin"] = [403]
    with pytest.raises(OSError, match="^the server answered 403 Forbidden$"):
        open_url(f"{server.url}/a.bin")
    with pytest.raises(FileNotFoundError, match="^not found$"):
        open_url(f"{server.url}/b.bin")
    with pytest.raises(OSError, match="onnect"):
        open_url("http://127.0.0.1:9/a.bin")
    with pytest.raises(OSError, match="No such file"):
        open_url(str(tmp_path / "absent"))


def test_a_busy_server_is_asked_again(server: Server, caplog) -> None:
    server.status["/a.bin"] = [503, 429]
    assert read(f"{server.url}/a.bin") == DATA
    assert len(server.asked) == 3 and "a.bin: the server answered 503" in caplog.text
    server.status["/a.bin"] = [500, 500, 500]
    with pytest.raises(OSError, match="^the server answered 500"):
        open_url(f"{server.url}/a.bin")


def test_a_stalled_server_is_an_error(server: Server, monkeypatch) -> None:
    monkeypatch.setattr(remote_files, "TIMEOUT", 0.2)
    server.stalled.append("/a.bin")
    with pytest.raises(OSError, match=r"^timed out: no data for 0\.2 s$"):
        open_url(f"{server.url}/a.bin")


def test_a_file_that_breaks_off_is_an_error_and_leaves_nothing(
    server: Server, tmp_path: Path
) -> None:
    url, path = f"{server.url}/a.bin", tmp_path / "copy/a.bin"
    server.cut.append("/a.bin")
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
