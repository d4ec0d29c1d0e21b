"""Files behind http; the server does what servers of strangers do."""

from __future__ import annotations

import gzip
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from cyclip_pl import http_file
from cyclip_pl.http_file import HttpFile
from tests.helpers.http_server import Server, answer, serving

DATA = bytes(range(256)) * 4000
HALF = len(DATA) // 2
SAME = "Sat, 01 Jan 2000 00:00:00 GMT"  # when the file was changed
part = partial(answer, DATA[:HALF], size=len(DATA), Last_Modified=SAME)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_file, "RETRY_AFTER", (0.01, 0.01, 0.01))
    monkeypatch.setattr(http_file, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(http_file, "TIMEOUT", 0.3)
    monkeypatch.setattr(http_file, "_failed", set())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "a.bin").write_bytes(DATA)
    os.utime(tmp_path / "a.bin", (946684800, 946684800))
    with serving(tmp_path) as served:
        yield served


def read(server: Server) -> bytes:
    with HttpFile(f"{server.url}/a.bin") as file:
        return file.read()


def refused(server: Server, message: str, asked: int | None = None) -> None:
    with pytest.raises(OSError, match=message) as caught:
        read(server)
    assert "\n" not in str(caught.value)
    assert asked is None or len(server.asked) == asked


def reset(handler) -> None:
    part()(handler)
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def stall(handler) -> None:
    part(wait=1.0)(handler)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("broken", [part(), reset, stall], ids=["cut", "reset", "stall"])
def test_a_file_that_breaks_off_goes_on(server: Server, broken, ranges: bool, caplog) -> None:
    server.answers["/a.bin"], server.ranges = [broken], ranges
    assert read(server) == DATA
    start = server.parts[1] or ""
    assert len(server.asked) == 2 and re.fullmatch(r"bytes=\d+-", start)
    if broken is not reset:  # which may take bytes with it
        assert start == f"bytes={HALF}-"
    assert re.search(r"a\.bin: .*at byte \d+.*; asking again in", caplog.text)


def test_it_goes_on_several_times(server: Server) -> None:
    server.answers["/a.bin"] = [part()]
    for first, end in ((HALF, HALF + 9), (HALF + 9, len(DATA) - 1)):
        where = f"bytes {first}-{len(DATA) - 1}/{len(DATA)}"
        size = len(DATA) - first
        server.answers["/a.bin"].append(
            answer(DATA[first:end], status=206, size=size, Content_Range=where, Last_Modified=SAME)
        )
    assert read(server) == DATA
    assert server.parts[1:] == [f"bytes={n}-" for n in (HALF, HALF + 9, len(DATA) - 1)]


def test_a_file_that_always_breaks_off_ends(server: Server) -> None:
    server.answers["/a.bin"], server.ranges = [part() for _ in range(9)], False
    refused(server, "^it broke off before its end$", asked=4)


@pytest.mark.parametrize("ranges", [True, False])
def test_what_changed_meanwhile_is_not_put_together(server: Server, ranges: bool) -> None:
    other = answer(DATA[:HALF], size=len(DATA), Last_Modified="Sun, 02 Jan 2000 00:00:00 GMT")
    server.ranges, server.answers["/a.bin"] = ranges, [other]
    refused(server, "^it is another file since it broke off$")


def test_a_compressed_answer_is_unpacked_and_never_put_together(server: Server) -> None:
    packed = gzip.compress(os.urandom(HALF))
    encoded = partial(answer, Content_Encoding="gzip")
    server.answers["/a.bin"] = [encoded(packed)]
    assert read(server) == gzip.decompress(packed)
    server.answers["/a.bin"] = [encoded(packed[:-99], size=len(packed))] * 2
    refused(server, "^it is another file")


@pytest.mark.parametrize(
    ("broken", "message", "asked"),
    [
        (answer(b"no", status=403), "^the server answered 403 Forbidden$", 1),
        (answer(b"no", status=404), "^the server answered 404 Not Found$", 1),
        (answer(status=302, Location="/a.bin"), "^the server redirects in a circle$", None),
        (answer(status=302, Location="file:///etc/passwd"), "^the server redirects to file:/", 1),
        (answer(b"<html>", Content_Type="text/html"), "sent a web page instead of the file$", 1),
        (
            lambda handler: handler.wfile.write(b"rubbish\r\n\r\n"),
            "^the answer is not HTTP: Bad status line$",
            1,
        ),
        (answer(b"", status=500), "^the server answered 500 Internal Server Error$", 4),
        (lambda handler: None, "^the server closed the connection$", None),
        (
            lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: "),
            "^the server closed",
            None,
        ),
    ],
)
def test_what_a_server_says_is_one_line(server: Server, broken, message, asked) -> None:
    server.answers["/a.bin"] = [broken] * 20
    refused(server, message, asked)


def test_a_busy_server_says_when_to_come_back(server: Server, monkeypatch, caplog) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for after in ("0", "9999999999", "1", "Sat, 01 Jan 2000 00:00:00 GMT"):
        server.answers["/a.bin"] = [answer(status=503, Retry_After=after)]
        assert read(server) == DATA
    assert waits == [0.01, 0.01, 0.02, 0.01]
    assert "a.bin: the server answered 503" in caplog.text


def drip(handler) -> None:
    with suppress(OSError):  # the client has gone
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)


@pytest.mark.parametrize(
    "broken",
    [lambda handler: time.sleep(1), drip, answer(b"", size=len(DATA), wait=1)],
    ids=["silence", "byte by byte", "headers alone"],
)
def test_a_server_that_does_not_answer(server: Server, broken) -> None:
    server.answers["/a.bin"] = [broken] * 9
    refused(server, r"^timed out: no data for 0\.3 s$", asked=1)


def test_a_body_that_comes_byte_by_byte_is_a_stall(server: Server) -> None:
    server.answers["/a.bin"] = [answer(*[b"x"] * 30, size=99, wait=0.05)] * 9
    refused(server, r"^timed out: \d+ bytes in 0\.3 s$", asked=1)


def test_a_stall_at_the_same_byte_is_not_waited_for_again(server: Server) -> None:
    server.answers["/a.bin"], server.ranges = [stall] * 9, False
    refused(server, "^timed out: ", asked=2)


def test_a_file_that_failed_is_asked_once_until_it_comes_whole(server: Server) -> None:
    server.status["/a.bin"] = [500] * 5
    refused(server, "^the server answered 500", asked=4)
    refused(server, "^the server answered 500", asked=5)
    assert read(server) == DATA
    server.status["/a.bin"] = [500] * 3
    assert read(server) == DATA and len(server.asked) == 10


def test_a_slow_reader_is_not_the_servers_fault(server: Server) -> None:
    with HttpFile(f"{server.url}/a.bin") as file:
        for start in range(0, 300, 100):
            time.sleep(0.2)
            assert file.read(100) == DATA[start : start + 100]


def test_more_than_was_stated_is_not_taken(server: Server) -> None:
    server.answers["/a.bin"] = [answer(DATA, size=100)]
    try:
        assert read(server) == DATA[:100]
    except OSError as error:  # aiohttp has seen what came behind
        assert str(error).startswith("the answer is not HTTP: ") and len(str(error)) < 99  # noqa: PT017


def test_no_server_and_no_host(caplog) -> None:
    for url in ("http://127.0.0.1:9/a", "http://no-such-host.invalid/a"):
        caplog.clear()
        with pytest.raises(OSError, match=r"."):
            HttpFile(url)
        assert caplog.text.count("asking again") == 3
    for url in ("http://", "http://[/a", "http:///a"):
        with pytest.raises((OSError, ValueError)) as caught:
            HttpFile(url)
        assert "\n" not in str(caught.value)


def test_a_certificate_that_nobody_signed(caplog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def shake() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(99)
                connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure

        thread = threading.Thread(target=shake)
        thread.start()
        with pytest.raises(OSError, match="(?i)ssl"):
            HttpFile(f"https://127.0.0.1:{listening.getsockname()[1]}/a")
        thread.join()
    assert caplog.text == ""
