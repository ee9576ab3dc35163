"""The WSGI application behind the shim in the smuggling tests: it writes down each request that it was given.

A request is seen when its body is there to its end. uWSGI, gunicorn and Apache serve a copy of this file, so
it imports the standard library only; the record stands beside that copy.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("seen")
FRAMING = ("CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_TE", "HTTP_TRAILER")


def application(environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
    """Record the request, and answer with the record."""
    if environ["PATH_INFO"] == "/healthcheck":
        respond("200 OK", [("Content-Length", "0")])
        return []
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    if len(body) < length:
        # Nobody has sent such a request: whoever did not finish it gets no answer either.
        respond("400 Cut", [("Content-Length", "0")])
        return []
    seen = {
        "id": str(uuid.uuid4()),
        "method": environ["REQUEST_METHOD"],
        # gunicorn has the one, the others the other.
        "target": environ.get("RAW_URI") or environ.get("REQUEST_URI"),
        "body": body.decode("latin-1"),
        "framing": {name: environ[name] for name in FRAMING if environ.get(name)},
    }
    _write_down(seen["id"])
    told = json.dumps(seen).encode()
    respond("200 OK", [("X-Seen", seen["id"]), ("Content-Length", str(len(told)))])
    return [told]


def _write_down(identity: str) -> None:
    # One write at the end of the file: workers do not mix their lines.
    descriptor = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, identity.encode() + b"\n")
    finally:
        os.close(descriptor)
