"""Serves a folder over HTTP on this machine; each request waits first, as behind a network.

python experiments/performance/slow_server.py FOLDER SECONDS

prints the address.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Slow(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, seconds: float, **settings: Any) -> None:
        self.seconds = seconds
        super().__init__(*args, **settings)

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    handler = partial(Slow, directory=sys.argv[1], seconds=float(sys.argv[2]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
