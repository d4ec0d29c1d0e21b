"""A folder behind http on this machine, and servers that misbehave."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """Attributes: url; asked, the paths in their order; what a test may fill:

    cut: Paths that break off half-way.
    stalled: Paths that are never answered.
    status: Statuses by path, taken one after the other before the file is served.
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
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()
