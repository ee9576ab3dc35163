"""A Glance in threads, as far as a benchmark needs one: images by id, tags and owners, data in chunks or not.

It fails as a real one does, where a test asks for it; and it knows how long each chunk was that came in.
"""

import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, str, bytes]
"""Status, content type and body."""

OWNER = "project-of-the-token"


@dataclass
class FakeGlance:
    """What it has, what came in, and how it fails.

    Attributes:
        refuse: Asked before each request, with method and path; an answer stands in the place of its own.
        corrupt: Whether data is stored with a byte changed.
        corrupt_download: Whether a byte of what is sent back is changed.
        hold: Set once an upload waits until ``release`` is set; unset: none waits.
    """

    url: str = ""
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    framings: list[tuple[int, ...] | int] = field(default_factory=list)
    declared: list[str | None] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    made: int = 0
    refuse: Callable[[str, str], Answer | None] = lambda _method, _path: None
    corrupt: bool = False
    corrupt_download: bool = False
    hold: bool = False
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def add(self, key: str, **fields: Any) -> None:
        """An image that is there already."""
        self.images[key] = {"id": key, "owner": OWNER, "visibility": "private", "tags": [], **fields}


@contextmanager
def fake_glance(**options: Any) -> Iterator[FakeGlance]:
    """One that answers until the block ends."""
    glance = FakeGlance(**options)
    handler = type("Handler", (_Handler,), {"glance": glance})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # A client that is cut off must not hold up the end of a test.
    server.daemon_threads = True
    glance.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield glance
    finally:
        glance.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    glance: FakeGlance
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _serve(self) -> None:
        self.glance.requests.append(f"{self.command} {self.path}")
        body = self._body() if self.command in {"POST", "PUT"} else b""
        answer = self.glance.refuse(self.command, self.path) or self._own(body)
        status, kind, content = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        is_upload = self.command == "PUT"
        if is_upload and self.glance.hold:
            self.glance.holding.set()
            self.glance.release.wait(10)
        if is_upload:
            self.glance.declared.append(self.headers["X-Openstack-Image-Size"])
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers["Content-Length"])
            if is_upload:
                self.glance.framings.append(length)
            return self.rfile.read(length)
        chunks = list(self._chunks())
        self.glance.framings.append(tuple(len(chunk) for chunk in chunks))
        return b"".join(chunks)

    def _chunks(self) -> Iterator[bytes]:
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def _own(self, body: bytes) -> Answer:
        path, _, query = self.path.partition("?")
        if path == "/v2/images":
            return self._make(json.loads(body)) if self.command == "POST" else self._list(query)
        if path.startswith("/plain/"):
            return self._plain(path, body)
        match = re.fullmatch(r"/v2/images/([^/]+)(/file)?", path)
        if match is None or match[1] not in self.glance.images:
            return (
                404,
                "text/html",
                b"<html><head><title>404</title></head><body>No image found</body></html>",
            )
        return self._data(match[1], body) if match[2] else self._image(match[1])

    def _plain(self, path: str, body: bytes) -> Answer:
        """A service that knows nothing but names and bytes."""
        if self.command == "PUT":
            self.glance.data[path] = body
            return 201, "text/plain", b""
        if path not in self.glance.data:
            return 404, "text/plain", b""
        if self.command == "DELETE":
            del self.glance.data[path]
            return 204, "text/plain", b""
        return 200, "application/octet-stream", self.glance.data[path]

    def _make(self, fields: dict[str, Any]) -> Answer:
        if fields["id"] in self.glance.images:
            return 409, "text/plain", b"Image ID already exists"
        self.glance.add(**{"key": fields.pop("id"), **fields}, status="queued", size=None)
        self.glance.made += 1
        return 201, "application/json", json.dumps(list(self.glance.images.values())[-1]).encode()

    def _list(self, query: str) -> Answer:
        asked = dict(urllib.parse.parse_qsl(query))
        images = [
            image for image in self.glance.images.values() if asked.get("tag", "") in ("", *image["tags"])
        ]
        keys = [image["id"] for image in images]
        start = keys.index(asked["marker"]) + 1 if "marker" in asked else 0
        page: dict[str, Any] = {"images": images[start : start + 2]}
        if start + 2 < len(images):
            page["next"] = "/v2/images?marker=…"
        return 200, "application/json", json.dumps(page).encode()

    def _image(self, key: str) -> Answer:
        if self.command == "DELETE":
            self.glance.images.pop(key)
            self.glance.data.pop(key, None)
            return 204, "text/plain", b""
        return 200, "application/json", json.dumps(self.glance.images[key]).encode()

    def _data(self, key: str, body: bytes) -> Answer:
        if self.command == "GET":
            return (
                200,
                "application/octet-stream",
                self._changed(self.glance.data[key], self.glance.corrupt_download),
            )
        data = self._changed(body, self.glance.corrupt)
        self.glance.data[key] = data
        state = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(data).hexdigest()}
        self.glance.images[key] |= {"status": "active", "size": len(data), **state}
        return 204, "text/plain", b""

    def _changed(self, data: bytes, is_wanted: bool) -> bytes:  # noqa: FBT001 - of this file alone
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if is_wanted else data
