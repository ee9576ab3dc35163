"""A WSGI application that behaves like Glance's image API as far as uploads go; real uWSGI serves it.

Images are files beside this one's copy, so that all workers, and whoever judges, see the same. As in Glance a
body that breaks off sets its image back to ``queued``, and a worker that is killed leaves it ``saving``. It
imports the standard library only.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("images")
TOKEN = "soak"
OWNERS = 4
PIECE = 1 << 18

Environ = dict[str, Any]
Image = dict[str, Any]
Respond = Callable[..., Any]


def application(environ: Environ, respond: Respond) -> Iterable[bytes]:
    """Images, one image, its data."""
    parts = environ["PATH_INFO"].strip("/").split("/")
    if parts == ["healthcheck"]:
        return _answer(respond, "200 OK", b"")
    if environ.get("HTTP_X_AUTH_TOKEN") != TOKEN:
        return _answer(respond, "401 Unauthorized", b"no such token")
    if parts == ["v2", "images"]:
        return _create(respond) if environ["REQUEST_METHOD"] == "POST" else _list(respond)
    image = read(parts[2]) if parts[:2] == ["v2", "images"] else None
    if image is None:
        return _answer(respond, "404 Not Found", b"no such image")
    call = (environ["REQUEST_METHOD"], *parts[3:])
    return _CALLS.get(call, _show)(environ, respond, image)


def read(name: str) -> Image | None:
    """An image as it is now."""
    try:
        found: Image = json.loads(_state(name).read_text())
    except (OSError, ValueError):
        return None
    return found


def data_of(name: str) -> Path:
    """Where its data are."""
    return PLACE / f"{name}.data"


def _state(name: str) -> Path:
    return PLACE / f"{name}.json"


def _write(image: Image) -> None:
    # Renamed into place: nobody reads half of it.
    unfinished = PLACE / f"{uuid.uuid4()}.new"
    unfinished.write_text(json.dumps(image))
    unfinished.rename(_state(image["id"]))


def _create(respond: Respond) -> Iterable[bytes]:
    name = uuid.uuid4()
    image = {"id": str(name), "status": "queued", "owner": f"project-{name.int % OWNERS}", "size": None}
    _write(image)
    return _answer(respond, "201 Created", json.dumps(image).encode())


def _list(respond: Respond) -> Iterable[bytes]:
    return _answer(respond, "200 OK", json.dumps(sorted(path.stem for path in PLACE.glob("*.json"))).encode())


def _show(_environ: Environ, respond: Respond, image: Image) -> Iterable[bytes]:
    return _answer(respond, "200 OK", json.dumps(image).encode())


def _delete(_environ: Environ, respond: Respond, image: Image) -> Iterable[bytes]:
    for path in (_state(image["id"]), data_of(image["id"])):
        path.unlink(missing_ok=True)
    return _answer(respond, "204 No Content", b"")


def _take(environ: Environ, respond: Respond, image: Image) -> Iterable[bytes]:
    if image["status"] != "queued":
        return _answer(respond, "409 Conflict", b"it is not queued")
    _write({**image, "status": "saving"})
    try:
        size, digest = _keep(environ, data_of(image["id"]))
    except OSError:
        _write(image)
        return _answer(respond, "400 Bad Request", b"the body broke off")
    _write({**image, "status": "active", "size": size, "sha256": digest})
    return _answer(respond, "204 No Content", b"")


def _keep(environ: Environ, path: Path) -> tuple[int, str]:
    """Write the body to a file; its length and hash. OSError where it breaks off, as uWSGI itself has it."""
    size, digest = 0, hashlib.sha256()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    with path.open("wb") as file:
        while size < length:
            piece = environ["wsgi.input"].read(min(length - size, PIECE))
            if not piece:
                raise OSError("the body is shorter than its length")
            size += len(piece)
            digest.update(piece)
            file.write(piece)
    return size, digest.hexdigest()


def _give(_environ: Environ, respond: Respond, image: Image) -> Iterable[bytes]:
    if image["status"] != "active":
        return _answer(respond, "204 No Content", b"")
    respond("200 OK", [("Content-Length", str(image["size"]))])
    return _pieces(data_of(image["id"]))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _answer(respond: Respond, status: str, body: bytes) -> Iterable[bytes]:
    length = [] if status.startswith("204") else [("Content-Length", str(len(body)))]
    respond(status, length)
    return [body] if length else []


_CALLS = {
    ("DELETE",): _delete,
    ("PUT", "file"): _take,
    ("GET", "file"): _give,
}
