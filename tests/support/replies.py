"""Scripts for the stub upstream: what a server behind a proxy may answer, and how it may fail to.

Each function gives a reply for one request. Unless its name says otherwise it reads the request's
body first.
"""

import threading
import time
from collections.abc import Iterable

from tests.support.client import chunk
from tests.support.stub import Exchange, Reply


def answer_head(status: int = 200, *headers: str, reason: str = "Stub") -> bytes:
    """An answer's head from whole header lines."""
    return "\r\n".join((f"HTTP/1.1 {status} {reason}", *headers, "", "")).encode("latin-1")


def normal(status: int = 200, body: bytes = b"ok", *headers: str) -> Reply:
    """Answer with Content-Length, keep the connection; 204 and 304 have neither body nor length."""
    bare = status in (204, 304)
    framing = () if bare else (f"Content-Length: {len(body)}",)
    return raw(answer_head(status, *framing, *headers), b"" if bare else body, end="keep")


def chunked_answer(pieces: Iterable[bytes], *headers: str, trailers: bytes = b"") -> Reply:
    """Answer chunked, on a connection that stays open."""
    body = b"".join(chunk(piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"
    return raw(answer_head(200, "Transfer-Encoding: chunked", *headers), body, end="keep")


def until_close(body: bytes, *headers: str, end: str = "close") -> Reply:
    """Answer with neither length nor chunks: the end of the connection ends the body."""
    return raw(answer_head(200, *headers), body, end=end)


def unsaid_close(body: bytes = b"ok") -> Reply:
    """Answer with Content-Length and close without having said so, as uWSGI's http-socket does."""
    return raw(answer_head(200, f"Content-Length: {len(body)}"), body, end="close")


def raw(*pieces: bytes, end: str = "close", read: bool = True) -> Reply:
    """Send these bytes; then ``close``, ``reset`` or ``keep`` the connection, or ``wait`` for its end."""

    def reply(exchange: Exchange) -> None:
        if read:
            exchange.read_body()
        exchange.send(*pieces)
        finish(exchange, end)

    return reply


def finish(exchange: Exchange, end: str) -> None:
    """End an exchange as named."""
    if end == "keep":
        exchange.keep = True
    elif end == "wait":
        exchange.wait_end()
    elif end == "reset":
        exchange.reset()
    else:
        assert end == "close"
        exchange.close()


def early(status: int, body: bytes = b"no", *headers: str, end: str = "close") -> Reply:
    """Answer from the head alone; by default close at once, with the body unread (a reset)."""
    return raw(answer_head(status, f"Content-Length: {len(body)}", *headers), body, end=end, read=False)


def silence() -> Reply:
    """Read everything and never answer; ends when the peer hangs up."""

    def reply(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.wait_end()

    return reply


def vanish(after: int | None = None) -> Reply:
    """Close without an answer: after so many bytes of the body, or (None) after all of it."""

    def reply(exchange: Exchange) -> None:
        if after != 0:
            exchange.read_body(after)
        exchange.close()

    return reply


def deaf(gate: threading.Event) -> Reply:
    """Do not read the body until a gate opens, nor answer; then close."""

    def reply(exchange: Exchange) -> None:
        exchange.wait(gate)
        exchange.close()

    return reply


def held(gate: threading.Event, then: Reply) -> Reply:
    """Read the body, wait for the gate, then reply."""

    def reply(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.wait(gate)
        then(exchange)

    return reply


def dribble(data: bytes, size: int = 1, pause: float = 0.0, end: str = "keep") -> Reply:
    """Send raw bytes in small pieces with a pause (seconds) between them."""

    def reply(exchange: Exchange) -> None:
        exchange.read_body()
        for start in range(0, len(data), size):
            exchange.send(data[start : start + size])
            time.sleep(pause)
        finish(exchange, end)

    return reply
