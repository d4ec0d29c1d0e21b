"""The page and its answers over HTTP, for browsers of this machine.

No path of a request reaches the file system. A request must name this server by an address or as
localhost: a name that a stranger's DNS points here (DNS rebinding) is refused, and so is a request
that a stranger's page sends.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import ipaddress
import json
import re
import socket
import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cyclip_pl.files import reason
from cyclip_pl.images import Undecodable
from cyclip_pl.search.engine import Engine

LARGEST_UPLOAD = 20 << 20
"""Bytes of a dropped image."""

_MOST_RESULTS = 200
_LARGEST_SIDE = 640  # pixels of an image that is sent
_SECONDS = 30.0  # that a browser may be silent
_JSON = "application/json"


class Refused(Exception):
    """A request that is not answered: its HTTP status, and why in one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class SearchServer(ThreadingHTTPServer):
    """Listens from here on; `serve` answers, also those who came before it.

    Args:
        host: The address to listen at.
        port: The port, or 0 for a free one.

    Attributes:
        url: Where the page is.

    Raises:
        ValueError: The port is in use, or the address is not this machine's.
    """

    daemon_threads = True
    allow_reuse_port = False

    engine: Engine

    def __init__(self, host: str, port: int) -> None:
        # A name without a dot is not one that a stranger's DNS answers for.
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}
        self.page = Path(__file__).with_name("page.html").read_bytes()
        self.policy = _policy(self.page.decode())
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                line = f"port={port}: is in use; name another one, or port=0 for a free one"
            else:
                line = f"host={host} port={port}: cannot listen there: {reason(error)}"
            raise ValueError(line) from error
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.server_port}/"

    def server_bind(self) -> None:
        """Without the question to the DNS for this machine's full name, which may hang."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def serve(self, engine: Engine) -> None:
        """Answer with an engine until `shutdown` is called or an exception ends the process."""
        self.engine = engine
        self.serve_forever()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is not an error."""


def _policy(page: str) -> str:
    """The page's own script and style, images and answers of this server, and nothing else."""

    def hashed(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in found]
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


class _Handler(BaseHTTPRequestHandler):
    server: SearchServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cyclip-search", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *unused: object) -> None:
        """The terminal stays quiet."""

    def _answer(self, act: Callable[[str, dict[str, str]], tuple[str, bytes]]) -> None:
        status = 200
        try:
            self._check_origin()
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            kind, body = act(parts.path, query)
        except Refused as error:
            status, kind, body = error.status, _JSON, _dumped({"error": str(error)})
        except Undecodable as error:
            status, kind, body = 415, _JSON, _dumped({"error": str(error)})
        except IndexError:
            status, kind, body = 404, _JSON, _dumped({"error": "there is no such image"})
        except ValueError as error:
            status, kind, body = 400, _JSON, _dumped({"error": str(error)})
        self.send_response(status)
        if status != 200:  # its body may not have been read
            self.close_connection = True
            self.send_header("Connection", "close")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        images = kind.startswith("image/") and status == 200
        self.send_header("Cache-Control", "private, max-age=3600" if images else "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if not (name in self.server.names or _is_address(name)):
            raise Refused(421, "open the page by the address that cyclip-search has printed")
        origin = self.headers.get("Origin")
        if origin not in (None, f"http://{host}", f"https://{host}"):
            raise Refused(403, "another page asks")
        # A link to the page may stand anywhere; the page itself holds nothing.
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and self.path != "/":
            raise Refused(403, "another page asks")

    def _get(self, path: str, query: dict[str, str]) -> tuple[str, bytes]:
        engine = self.server.engine
        match path.strip("/").split("/"):
            case [""]:
                return "text/html; charset=utf-8", self.server.page
            case ["about"]:
                return _JSON, _dumped(engine.about())
            case ["search"] if query.get("text", "").strip():
                return _JSON, _dumped(engine.by_text(query["text"].strip(), _results(query)))
            case ["search"] if "image" in query:
                number = _number(query["image"], "image")
                return _JSON, _dumped(engine.by_image(number, _results(query)))
            case ["search"]:
                raise Refused(400, "a search needs text=… or image=…")
            case ["image", number]:
                side = min(_number(query.get("side", "320"), "side"), _LARGEST_SIDE)
                return engine.thumbnail(_number(number, "image"), max(side, 1))
        raise Refused(404, "there is no such page")

    def _post(self, path: str, query: dict[str, str]) -> tuple[str, bytes]:
        if path != "/search":
            raise Refused(404, "there is no such page")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            raise Refused(411, "the size of the image is missing")
        if len(length) > 12 or int(length) > LARGEST_UPLOAD:
            raise Refused(413, f"the image is larger than {LARGEST_UPLOAD >> 20} MiB")
        k = _results(query)
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise Refused(400, "the image broke off")
        return _JSON, _dumped(self.server.engine.by_bytes(data, k))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _results(query: dict[str, str]) -> int:
    return min(max(_number(query.get("k", "24"), "k"), 1), _MOST_RESULTS)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused(400, f"{name}={text[:20]}: must be a whole number")
    return int(text)


def _dumped(answer: Any) -> bytes:
    return json.dumps(answer, allow_nan=False).encode()
