"""Reading from a socket with a deadline on every wait, shared by the raw client and the stub upstream.

A wait that does not end fails the test with what came so far, instead of hanging the run.
"""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 15.0
"""Seconds that any single step may take; a correct shim needs milliseconds."""

PIECE = 1 << 18
"""Bytes asked of the kernel at once."""


class Hang(AssertionError):
    """Nothing happened within the deadline."""


class Ended(Exception):
    """The stream ended before what was asked for had come."""

    def __init__(self, how: str, partial: bytes) -> None:
        super().__init__(f"ended by {how} after {partial[-200:]!r}")
        self.how = how
        self.partial = partial


class Wire:
    """A buffered reader over a socket.

    ``patience`` is in seconds for each read; None waits for ever (the stub between two requests).
    """

    def __init__(self, sock: socket.socket, patience: float | None = PATIENCE) -> None:
        self.sock = sock
        self.patience = patience
        self.buffer = bytearray()
        self.received = 0

    def _receive(self, wanted: int = PIECE) -> bytes:
        """The next bytes of the socket, b"" on FIN; a reset raises Ended."""
        try:
            self.sock.settimeout(self.patience)
            data = self.sock.recv(wanted)
        except TimeoutError:
            raise Hang(
                f"nothing came for {self.patience} s; before that: {bytes(self.buffer[-300:])!r}"
            ) from None
        except (ConnectionError, ssl.SSLEOFError):
            raise Ended("reset", bytes(self.buffer)) from None
        self.received += len(data)
        return data

    def fill(self) -> None:
        """Wait for more bytes, or raise Ended."""
        data = self._receive()
        if not data:
            raise Ended("fin", bytes(self.buffer))
        self.buffer += data

    def until(self, mark: bytes, limit: int = 1 << 22) -> bytes:
        """Everything up to and with ``mark``."""
        start = 0
        while True:
            found = self.buffer.find(mark, start)
            if found >= 0:
                return self.exactly(found + len(mark))
            start = max(0, len(self.buffer) - len(mark) + 1)
            assert len(self.buffer) <= limit, f"no {mark!r} within {limit} bytes"
            self.fill()

    def exactly(self, count: int) -> bytes:
        """``count`` bytes."""
        while len(self.buffer) < count:
            self.fill()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def some(self, limit: int) -> bytes:
        """Between one and ``limit`` bytes, as they come; Ended at the end."""
        if self.buffer:
            return self.exactly(min(limit, len(self.buffer)))
        data = self._receive(min(limit, PIECE))
        if not data:
            raise Ended("fin", b"")
        return data

    def rest(self) -> tuple[bytes, str]:
        """Everything up to the end of the stream, and how it ended: fin or reset."""
        pieces = []
        try:
            while True:
                pieces.append(self.some(PIECE))
        except Ended as end:
            return b"".join(pieces), end.how

    def ending(self, within: float) -> str:
        """How the stream ends within so many seconds: fin, reset or open; bytes that come are dropped."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            try:
                self.sock.settimeout(left)
                if not self.sock.recv(PIECE):
                    return "fin"
            except TimeoutError:
                break
            except (ConnectionError, ssl.SSLEOFError):
                return "reset"
        return "open"

    def stirs(self, within: float) -> bool:
        """Whether a byte, or the end, is there or comes within so many seconds; nothing is taken."""
        if isinstance(self.sock, ssl.SSLSocket):
            return bool(self.buffer) or self._stirs_inside(within)
        return bool(self.buffer) or bool(select.select([self.sock], [], [], within)[0])

    def _stirs_inside(self, within: float) -> bool:
        # What comes on the socket may be a message of TLS itself: only reading shows it.
        try:
            self.sock.settimeout(max(within, 0.01))
            self.buffer += self.sock.recv(PIECE)
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLEOFError):
            return True
        return True

    def pending(self) -> bytes:
        """What lies there already, without waiting."""
        self.sock.settimeout(0)
        with contextlib.suppress(BlockingIOError, ConnectionError, ssl.SSLWantReadError, ssl.SSLEOFError):
            self.buffer += self.sock.recv(PIECE)
        return bytes(self.buffer)


def eventually(question: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """The first true answer to ``question``, asked again until the deadline."""
    until = time.monotonic() + within
    pause = 0.002
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Hang(f"not within {within} s: {what}; last answer {answer!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
