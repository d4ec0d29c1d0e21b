"""The server's answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cyclip_pl.search import server as module
from cyclip_pl.search.engine import LONGEST_TEXT, Engine
from cyclip_pl.search.server import LARGEST_UPLOAD, SearchServer
from tests.helpers.world import shape_png
from tests.search.models import ColourNet, engine_of, serving


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def found(self) -> dict:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def engine(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine_of(f"{world}/train", tmp_path_factory.mktemp("cache"), ColourNet())


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[SearchServer]:
    with serving(engine) as server:
        yield server


def ask(server: SearchServer, path: str, body: bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, body, names)
    got = connection.getresponse()
    answer = Answer(got.status, dict(got.getheaders()), got.read())
    connection.close()
    return answer


def test_a_text_and_an_image(server: SearchServer) -> None:
    found = ask(server, "/search?text=a+red+bar&k=7").found
    assert len(found["models"][0]["images"]) == 7
    assert all("red" in image["captions"][0] for image in found["models"][0]["images"])
    assert ask(server, "/search?image=3&k=2").found["query"]["id"] == 3
    posted = ask(server, "/search?k=4", shape_png(0))
    assert posted.status == 200 and len(posted.found["models"][0]["captions"]) == 4
    image = ask(server, "/image/3?side=16")
    assert image.headers["Content-Type"] == "image/png" and image.body[:4] == b"\x89PNG"
    assert ask(server, "/about").found["images"] == 96


def test_bounds(server: SearchServer, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ask(server, "/search?text=red&k=999999999").found["models"][0]["images"]) == 96
    assert len(ask(server, "/search?text=red&k=0").found["models"][0]["images"]) == 1
    seen = []
    monkeypatch.setattr(ColourNet, "encode_text", lambda self, texts: seen.extend(texts))
    ask_text = "x" * (LONGEST_TEXT + 500)
    with pytest.raises(TypeError):
        engine.by_text(ask_text, 3)
    assert seen == ["x" * LONGEST_TEXT]
    monkeypatch.setattr(module, "_MOST_RESULTS", 5)
    assert len(ask(server, "/search?image=1&k=9").found["models"][0]["images"]) == 5
    monkeypatch.setattr(module, "_LARGEST_SIDE", 3)
    assert ask(server, "/image/0?side=640").body[16:24] == bytes([0, 0, 0, 3] * 2)


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/search", 400, "needs text="),
        ("/search?text=%20", 400, "needs text="),
        ("/search?text=red&k=many", 400, "k=many: must be a whole number"),
        ("/search?text=red&k=-1", 400, "k=-1"),
        ("/search?image=x", 400, "image=x"),
        ("/search?image=96", 404, "no such image"),
        ("/image/96", 404, "no such image"),
        ("/image/-1", 400, "image=-1"),
        ("/image/٣", 400, "image="),
        ("/image/3?side=x", 400, "side=x"),
        ("/image/1234567890123", 400, "image=1234567890"),
        ("/image/../../../etc/passwd", 404, "no such page"),
        ("/image/..%2f..%2fetc%2fpasswd", 400, "image="),
        ("/page.html", 404, "no such page"),
        ("//etc/passwd", 404, "no such page"),
        ("/../server.py", 404, "no such page"),
        ("/%2e%2e/server.py", 404, "no such page"),
    ],
)
def test_what_is_not_answered(server: SearchServer, path: str, status: int, told: str) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert told in json.loads(body)["error"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "x@"]
)
def test_a_name_that_a_stranger_points_here(server: SearchServer, host: str) -> None:
    for path in ("/", "/about", "/image/0"):
        assert ask(server, path, Host=host).status == 421
    assert ask(server, "/search", shape_png(0), Host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:80"])
def test_addresses_are_answered_on_any_port(server: SearchServer, host: str) -> None:
    assert ask(server, "/about", Host=host).status == 200  # ssh -L has another port


def test_another_page_gets_no_answer(server: SearchServer) -> None:
    host = f"127.0.0.1:{server.server_port}"
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert ask(server, "/search?k=3", shape_png(0), Host=host, **headers).status == 403
        assert ask(server, "/about", Host=host, **headers).status == 403
    # A link to the page may stand anywhere.
    assert ask(server, "/", Host=host, Sec_Fetch_Site="cross-site").status == 200
    own = {"Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    assert ask(server, "/search?k=3", shape_png(0), Host=host, **own).status == 200


def test_bad_uploads(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(server, "/search?k=3", b"no image").status == 415
    assert ask(server, "/search?k=3", b"").status == 415
    assert ask(server, "/elsewhere", shape_png(0)).status == 404
    assert ask(server, "/search?k=x", shape_png(0)).status == 400
    for length in (LARGEST_UPLOAD + 1, 10**15):
        assert ask(server, "/search", b"", Content_Length=str(length)).status == 413
    for length in ("-1", "x", "+3", "٣".encode().decode("latin-1")):
        assert ask(server, "/search", b"", Content_Length=length).status == 411
    assert ask(server, "/search", b"", Transfer_Encoding="chunked").status == 411


def test_an_upload_that_breaks_off_or_stalls(server: SearchServer, monkeypatch) -> None:
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nabc"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as raw:
        raw.sendall(head)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    monkeypatch.setattr(module._Handler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as raw:
        raw.sendall(head)
        assert raw.recv(100) == b""  # hung up
    assert ask(server, "/about").status == 200


def test_other_methods(server: SearchServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request("PUT", "/search")
    assert connection.getresponse().status == 501
    connection.close()


def test_headers(server: SearchServer) -> None:
    page = ask(server, "/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert len(re.findall(r"'sha256-[\w+/=]{44}'", policy)) == 2
    for path in ("/", "/about", "/image/0", "/nothing"):
        headers = ask(server, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        assert ("max-age" in headers["Cache-Control"]) == (path == "/image/0")
    assert "Python" not in page.headers["Server"]


def test_the_page_needs_no_other_file(server: SearchServer) -> None:
    page = ask(server, "/").body.decode()
    assert not re.findall(r"""(?:src|href)=["']?https?:""", page)
    assert "innerHTML" not in page and "insertAdjacentHTML" not in page
    assert not re.findall(r"<[^>]+ (?:style|on\w+)=", page)


def test_several_at_once(server: SearchServer) -> None:
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, "/search?text=blue&k=5")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and len({answer.body for answer in answers}) == 1


def test_a_port_in_use(server: SearchServer) -> None:
    port = server.server_port
    with pytest.raises(ValueError, match=rf"^port={port}: is in use; .* port=0"):
        SearchServer("127.0.0.1", port)
    with pytest.raises(ValueError, match=r"^host=192\.0\.2\.1 port=0: cannot listen there"):
        SearchServer("192.0.2.1", 0)


def test_it_listens_on_loopback(server: SearchServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_page_for_other_machines(engine: Engine) -> None:
    with serving(engine, "0.0.0.0") as server:
        assert server.url == f"http://{socket.gethostname()}:{server.server_port}/"
        assert ask(server, "/about", Host=f"{socket.gethostname()}:1").status == 200
        assert ask(server, "/about", Host="192.0.2.7:1").status == 200
        assert ask(server, "/about", Host=f"{socket.gethostname()}.evil.example").status == 421


def test_a_changed_shard_is_told(world: Path, tmp_path: Path) -> None:
    for path in (world / "shapes").rglob("*"):
        if path.is_file():
            copy = tmp_path / "set" / path.relative_to(world / "shapes")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    with serving(engine_of(tmp_path / "set", tmp_path / "cache")) as server:
        assert ask(server, "/image/0").status == 200
        for path in (tmp_path / "set/test").glob("*.tar"):
            path.write_bytes(path.read_bytes() + bytes(512))
        answer = ask(server, "/image/0")
        assert answer.status == 400 and "has changed" in answer.found["error"]
        assert str(tmp_path) not in answer.found["error"]
        assert len(ask(server, "/search?image=0&k=3").found["models"][0]["images"]) == 3
