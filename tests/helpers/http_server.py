"""A folder behind http on this machine, servers that misbehave, and a hub for data sets."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """Serves a folder; a test chooses which paths misbehave.

    Attributes:
        url: Its base.
        asked: The paths that were asked for, in order.
        cut: Paths that break off half-way.
        stalled: Paths that are never answered.
        status: Statuses by path, each answered once before the file is served.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.cut: list[str] = []
        self.stalled: list[str] = []
        self.status: dict[str, list[int]] = {}
        self.end = threading.Event()
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, *unused: object) -> None: ...

            def log_error(self, *unused: object) -> None: ...

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path in server.stalled:
                    server.end.wait()
                elif server.status.get(self.path):
                    self.send_error(server.status[self.path].pop(0))
                else:
                    super().do_GET()

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
    """The part of Hugging Face's API that downloads a data set, for the folder of one set.

    Attributes:
        asked: Path and token of each request.
        token: What a request must bring to be answered; None for a public set.
    """

    def __init__(self, repo: str, folder: Path) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.token: str | None = None
        commit = hashlib.sha1(repo.encode()).hexdigest()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *unused: object) -> None: ...

            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                hub.asked.append((path, token := self.headers.get("Authorization")))
                if hub.token is not None and token != f"Bearer {hub.token}":
                    self.send_error(401)
                elif path.startswith(f"/api/datasets/{repo}/revision/"):
                    self.reply(json.dumps({"id": repo, "sha": commit, "siblings": []}).encode())
                elif path == f"/api/datasets/{repo}/tree/{commit}":
                    self.reply(
                        json.dumps([_entry(file, folder) for file in _files(folder)]).encode()
                    )
                elif path.startswith(start := f"/datasets/{repo}/resolve/{commit}/"):
                    self.reply((folder / path.removeprefix(start)).read_bytes())
                else:
                    self.send_error(404)

            do_HEAD = do_GET

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
def hub(repo: str, folder: Path) -> Iterator[Hub]:
    server = Hub(repo, folder)
    with _running(server.http):
        yield server
