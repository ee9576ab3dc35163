"""The WSGI application behind the shim in these tests: it says what it was given, and misbehaves if asked to.

Real uWSGI and gunicorn serve it from the demo's environment, so it imports the standard library only.
"""

import hashlib
import json
import os
import signal
import struct
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

PIECE = 64 * 1024
_READ = 1024 * 1024
_NAMES = ("CONTENT_", "HTTP_", "PATH_", "QUERY_", "RAW_", "REMOTE_", "REQUEST_", "SCRIPT_", "UWSGI_")

Environ = dict[str, Any]
Respond = Callable[..., Any]


def application(environ: Environ, respond: Respond) -> Iterable[bytes]:
    """The last part of the path says what to do; whatever is not known is echoed."""
    verb = environ["PATH_INFO"].strip("/").partition("/")[0]
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    return _VERBS.get(verb, echo)(environ, respond, query)


def echo(environ: Environ, respond: Respond, _query: dict[str, str]) -> Iterable[bytes]:
    """Read the body and say what came, as JSON."""
    length, digest = read_body(environ)
    told = {
        "method": environ["REQUEST_METHOD"],
        "length": length,
        "sha256": digest,
        "worker": os.getpid(),
        "scheme": environ["wsgi.url_scheme"],
        "variables": {
            name: value
            for name, value in environ.items()
            if name.startswith(_NAMES) and isinstance(value, str)
        },
    }
    return _answer(respond, HTTPStatus.OK, json.dumps(told).encode())


def read_body(environ: Environ) -> tuple[int, str]:
    """Length and sha256 of the body, read to its end."""
    length, digest = 0, hashlib.sha256()
    while piece := environ["wsgi.input"].read(_READ):
        length += len(piece)
        digest.update(piece)
    return length, digest.hexdigest()


def refuse(environ: Environ, respond: Respond, _query: dict[str, str]) -> Iterable[bytes]:
    """``/refuse/404``: that status from the head alone, with the body unread."""
    status = HTTPStatus(int(environ["PATH_INFO"].rpartition("/")[2]))
    return _answer(respond, status, f"said early: {status.value}\n".encode() * 100)


def download(_environ: Environ, respond: Respond, query: dict[str, str]) -> Iterable[bytes]:
    """``/download?size=N``: so many bytes with their length; ``&framing=none``: without it."""
    size = int(query["size"])
    respond("200 OK", [("Content-Length", str(size))] if query.get("framing") != "none" else [])
    return numbered_pieces(size)


def endless(_environ: Environ, respond: Respond, _query: dict[str, str]) -> Iterable[bytes]:
    """An answer that only ends when nobody takes it any more."""
    respond("200 OK", [("Content-Length", str(1 << 50))])
    return numbered_pieces(1 << 50)


def hold(environ: Environ, respond: Respond, query: dict[str, str]) -> Iterable[bytes]:
    """``/hold?until=PATH``: the worker is busy until that file is there."""
    read_body(environ)
    while not os.path.exists(query["until"]):  # noqa: PTH110 - imports as little as it can
        time.sleep(0.01)
    return _answer(respond, HTTPStatus.OK, b"{}")


def die(environ: Environ, respond: Respond, query: dict[str, str]) -> Iterable[bytes]:
    """``/die?when=head`` or ``body``, or ``answer``: the worker is killed at that point of the request."""
    if query["when"] == "head":
        _kill_worker()
    read_body(environ)
    if query["when"] == "body":
        _kill_worker()
    respond("200 OK", [("Content-Length", str(2 * _READ))])
    return _half_an_answer()


def numbered_pieces(size: int) -> Iterator[bytes]:
    """``size`` bytes in pieces that begin with their number, so that none is lost, repeated or exchanged."""
    filling = bytes(range(256)) * (PIECE // 256)
    for start in range(0, size, PIECE):
        piece = struct.pack(">Q", start // PIECE) + filling[8:]
        yield piece[: size - start]


def _half_an_answer() -> Iterator[bytes]:
    yield bytes(_READ)
    _kill_worker()


def _kill_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _answer(respond: Respond, status: HTTPStatus, body: bytes) -> Iterable[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    respond(f"{status.value} {status.phrase}", headers)
    return [body]


_VERBS = {"refuse": refuse, "download": download, "endless": endless, "hold": hold, "die": die}
