"""A folder behind http on this machine, servers that misbehave, and a hub for data sets."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Answer = Callable[[http.server.SimpleHTTPRequestHandler], None]


def answer(
    *pieces: bytes, status: int = 200, size: int | None = None, wait: float = 0.0, **headers: str
) -> Answer:
    """An answer of `pieces`, `wait` seconds apart; `size` is the length that the header states.

    The connection is closed at its end. Underscores in the names of headers stand for hyphens.
    """

    def send(handler: http.server.SimpleHTTPRequestHandler) -> None:
        handler.send_response(status)
        length = sum(map(len, pieces)) if size is None else size
        handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with suppress(OSError):  # the client has gone
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(wait)

    return send


class Server:
    """Serves a folder; a test chooses which paths misbehave.

    Attributes:
        url: Its base.
        asked: The paths that were asked for, in order.
        cut: Paths that break off half-way.
        stalled: Paths that are never answered.
        status: Statuses by path, each answered once before the file is served.
        answers: Functions by path, each of which answers one request in place of the file.
        ranges: Whether parts of a file can be asked for.
        parts: The `Range` headers of the requests, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.cut: list[str] = []
        self.stalled: list[str] = []
        self.status: dict[str, list[int]] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.ranges = True
        self.parts: list[str | None] = []
        self.end = threading.Event()
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, *unused: object) -> None: ...

            def log_error(self, *unused: object) -> None: ...

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.parts.append(part := self.headers.get("Range"))
                if self.path in server.stalled:
                    server.end.wait()
                elif server.status.get(self.path):
                    self.send_error(server.status[self.path].pop(0))
                elif server.answers.get(self.path):
                    server.answers[self.path].pop(0)(self)
                elif part and server.ranges:
                    self.send_part(int(part.removeprefix("bytes=").removesuffix("-")))
                else:
                    super().do_GET()

            def send_part(self, start: int) -> None:
                path = Path(self.translate_path(self.path))
                data = path.read_bytes()
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                changed = self.date_time_string(int(path.stat().st_mtime))
                self.send_header("Last-Modified", changed)
                self.end_headers()
                self.wfile.write(data[start:])

            def copyfile(self, source, outputfile) -> None:
                data = source.read()
                outputfile.write(data[: len(data) // 2] if self.path in server.cut else data)

        handler = functools.partial(Handler, directory=str(folder))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@contextmanager
def _running(server: http.server.ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    with _running(server.http):
        try:
            yield server
        finally:
            server.end.set()


class Hub:
    """The part of Hugging Face's API that downloads a repository, for the folder of one.

    Attributes:
        asked: Path and token of each request.
        token: What a request must bring to be answered; None for a public repository.
        answers: Whether a request is answered at all before `end`.
    """

    def __init__(self, repo: str, folder: Path, kind: str = "dataset") -> None:
        start_of = {"dataset": f"/datasets/{repo}", "model": f"/{repo}"}[kind]
        self.asked: list[tuple[str, str | None]] = []
        self.token: str | None = None
        self.answers = True
        self.end = threading.Event()
        commit = hashlib.sha1(repo.encode()).hexdigest()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *unused: object) -> None: ...

            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                hub.asked.append((path, token := self.headers.get("Authorization")))
                if not hub.answers:
                    hub.end.wait()
                elif hub.token is not None and token != f"Bearer {hub.token}":
                    self.send_error(401)
                elif path.startswith(f"/api/{kind}s/{repo}/revision/"):
                    self.reply(json.dumps({"id": repo, "sha": commit, "siblings": []}).encode())
                elif path == f"/api/{kind}s/{repo}/tree/{commit}":
                    self.reply(
                        json.dumps([_entry(file, folder) for file in _files(folder)]).encode()
                    )
                elif path.startswith(f"{start_of}/resolve/"):
                    name = path.removeprefix(f"{start_of}/resolve/").partition("/")[2]
                    if (folder / name).is_file():
                        self.reply((folder / name).read_bytes())
                    else:
                        self.missing("EntryNotFound")
                else:
                    self.missing("RepoNotFound")

            do_HEAD = do_GET

            def missing(self, what: str) -> None:
                self.send_response(404)
                self.send_header("X-Repo-Commit", commit)
                self.send_header("X-Error-Code", what)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def reply(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("X-Repo-Commit", commit)
                self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(path: Path, folder: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {
        "type": "file",
        "path": path.relative_to(folder).as_posix(),
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),
    }


@contextmanager
def hub(repo: str, folder: Path, kind: str = "dataset") -> Iterator[Hub]:
    server = Hub(repo, folder, kind)
    with _running(server.http):
        try:
            yield server
        finally:
            server.end.set()
