"""The part of Hugging Face's API that takes an upload, small files and large ones (Git LFS)."""

from __future__ import annotations

import base64
import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.helpers.http_server import _running


class UploadHub:
    """Keeps what it gets.

    Attributes:
        url: Its base.
        created: The repositories that were asked for, the first time.
        files: Small files by path.
        pointers: SHA-256 of large files by path.
        large: Large files by SHA-256.
        validated: The model cards that were to be checked.
        tokens: The `Authorization` headers.
        refuses: Whether it refuses to create a repository.
    """

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.pointers: dict[str, str] = {}
        self.large: dict[str, bytes] = {}
        self.validated: list[str] = []
        self.tokens: set[str | None] = set()
        self.refuses = False
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *unused: object) -> None: ...

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def reply(self, content: Any, status: int = 200) -> None:
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self) -> None:
                if self.path == "/api/models/org/model" and hub.created:
                    private = hub.created[0]["private"]
                    self.reply({"id": "org/model", "private": private, "siblings": [], "tags": []})
                else:  # what the repository holds so far: nothing
                    self.reply({"error": "not found"}, 404)

            do_HEAD = do_GET

            def do_PUT(self) -> None:  # a large file, at the address that the batch gave
                hub.large[self.path.rpartition("/")[2]] = self.body()
                self.reply({})

            def do_POST(self) -> None:
                path, body = self.path.split("?")[0], self.body()
                hub.tokens.add(self.headers.get("Authorization"))
                if path == "/api/repos/create":
                    self.create(json.loads(body))
                elif path == "/api/validate-yaml":
                    hub.validated.append(json.loads(body)["content"])
                    self.reply({"errors": [], "warnings": []})
                elif "/preupload/" in path:
                    self.reply({"files": [self.mode(file) for file in json.loads(body)["files"]]})
                elif path.endswith(".git/info/lfs/objects/batch"):
                    objects = json.loads(body)["objects"]
                    self.reply({"transfer": "basic", "objects": [self.place(o) for o in objects]})
                elif "/commit/" in path:
                    self.commit(body)
                else:
                    self.reply({"error": "not found"}, 404)

            def create(self, wanted: dict[str, Any]) -> None:
                kept = {key: wanted[key] for key in ("name", "organization")}
                # The older word, and the newer one.
                private = wanted.get("private") or wanted.get("visibility") == "private"
                if hub.refuses:
                    self.reply({"error": "you may not write there"}, 403)
                elif kept in [{k: v for k, v in c.items() if k != "private"} for c in hub.created]:
                    url = f"{hub.url}/{kept['organization']}/{kept['name']}"
                    self.reply({"error": "it exists", "url": url}, 409)
                else:
                    hub.created.append({**kept, "private": private})
                    self.reply({"url": f"{hub.url}/{kept['organization']}/{kept['name']}"})

            def mode(self, file: dict[str, Any]) -> dict[str, Any]:
                large = file["path"].endswith(".safetensors")
                mode = "lfs" if large else "regular"
                return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

            def place(self, wanted: dict[str, Any]) -> dict[str, Any]:
                href = f"{hub.url}/large/{wanted['oid']}"
                return {**wanted, "actions": {"upload": {"href": href, "header": {}}}}

            def commit(self, body: bytes) -> None:
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        hub.files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        hub.pointers[value["path"]] = value["oid"]
                oid = "0" * 40
                url = f"{hub.url}/org/model/commit/{oid}"
                self.reply({"success": True, "commitOid": oid, "commitUrl": url})

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@contextmanager
def upload_hub() -> Iterator[UploadHub]:
    server = UploadHub()
    with _running(server.http):
        yield server
