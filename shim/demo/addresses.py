"""Where a server listens and whether it answers yet: free ports, socket paths, first questions.

``hosting`` and ``front`` start servers with these; URLs are written as in the shim's ``--upstream``.
"""

import http.client
import socket
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shim.demo import DemoError, PortTakenError
from shim.demo.processes import Process
from shim.timing import Seconds
from shim.wire.uwsgi import PING, PONG_MODIFIER

Running = TypeVar("Running")

# sun_path has 108 bytes (unix(7)), the last a NUL.
_LONGEST_SOCKET_PATH = 107
_SHORT_DIRECTORY = "glance-shim-socket-"
_START_ATTEMPTS = 3
_QUESTION_LIMIT: Seconds = 5.0
_PAUSE: Seconds = 0.1
# What servers write when bind() failed: uWSGI and uvicorn, gunicorn.
_TAKEN = ("already in use", "Connection in use")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def socket_path(directory: Path, name: str) -> Path:
    """A path for a unix socket: in ``directory``, or in a new temporary one where that would be too long."""
    path = directory / name
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        path = Path(tempfile.mkdtemp(prefix=_SHORT_DIRECTORY)) / name
    return path


def remove_socket(path: Path) -> None:
    """Undo ``socket_path``, after the server has ended."""
    path.unlink(missing_ok=True)
    if path.parent.name.startswith(_SHORT_DIRECTORY) and path.parent.exists():
        path.parent.rmdir()


def start_on_free_port(start: Callable[[], Running]) -> Running:
    """Call ``start``, which chooses ports itself, again as long as others are quicker to take them."""
    for _ in range(_START_ATTEMPTS - 1):
        try:
            return start()
        except PortTakenError:
            continue
    return start()


def wait_until(answering: Callable[[], bool], process: Process, *, name: str, limit: Seconds) -> None:
    """Wait for a server that was just started.

    Raises:
        PortTakenError: It ended, for its port was taken.
        DemoError: It ended otherwise, or did not answer within ``limit``.
    """
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if (status := process.status()) is not None:
            tail = process.tail()
            fault = PortTakenError if any(sign in tail for sign in _TAKEN) else DemoError
            raise fault(f"{name} ended with status {status}; the last lines of {process.log}:\n{tail}")
        if answering():
            return
        time.sleep(_PAUSE)
    raise DemoError(
        f"{name} gave no answer within {limit:.0f} s; the last lines of {process.log}:\n{process.tail()}"
    )


def answers(url: str, path: str = "/healthcheck") -> bool:
    """Whether a worker behind ``url`` answers: 200 to a GET of ``path``, or a uwsgi ping.

    A uWSGI that loads its application in its workers answers either only afterwards.
    """
    try:
        return _answers_ping(url) if url.startswith("uwsgi") else _answers_get(url, path)
    except (OSError, http.client.HTTPException):
        return False


def _answers_get(url: str, path: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc or "localhost", timeout=_QUESTION_LIMIT)
    try:
        if parts.scheme == "http+unix":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_QUESTION_LIMIT)
            connection.sock.connect(parts.path)
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def _answers_ping(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    family, address = (
        (socket.AF_UNIX, parts.path)
        if parts.scheme == "uwsgi+unix"
        else (socket.AF_INET, (parts.hostname, parts.port))
    )
    with socket.socket(family) as connection:
        connection.settimeout(_QUESTION_LIMIT)
        connection.connect(address)
        connection.sendall(PING)
        return connection.recv(4)[:1] == bytes([PONG_MODIFIER])
