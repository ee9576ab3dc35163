"""A raw HTTP/1.1 client: it sends exactly the bytes it is told and reads answers strictly.

It does what no polite client does (bytes one by one, broken framing, hanging up), and it says how a
connection ended: by FIN, by reset, or not at all.
"""

import itertools
import json
import re
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.support.wire import PATIENCE, Ended, Hang, Wire

Headers = tuple[tuple[str, str], ...]

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\r\n")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?[ \t]*\r\n"
)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")


class BadAnswer(AssertionError):
    """The answer is not well-formed HTTP/1.1."""


class NoAnswer(AssertionError):
    """The connection ended before an answer's head was complete."""

    def __init__(self, how: str, partial: bytes) -> None:
        super().__init__(f"no answer: connection ended by {how} after {partial!r}")
        self.how = how
        self.partial = partial


@dataclass(frozen=True)
class Answer:
    """One answer as it was read.

    ``framing`` is none, length, chunked or close; ``complete`` is false where the connection ended
    before the framing did, and ``end`` then says how (fin or reset). ``interim`` holds the 1xx
    statuses that came before.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    framing: str = "none"
    complete: bool = True
    end: str = ""
    interim: tuple[int, ...] = ()
    version: str = "1.1"

    def all(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that must not be there twice."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def problem(self) -> dict[str, Any]:
        """The members of an RFC 9457 problem document."""
        assert self.media_type == "application/problem+json", self
        members = json.loads(self.body)
        assert isinstance(members, dict)
        return members


class Client:
    """One connection. Every wait ends: after ``patience`` seconds the test fails."""

    def __init__(
        self, address: tuple[str, int] | str, patience: float = PATIENCE, *, tls: ssl.SSLContext | None = None
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.patience = patience
        self.sock.settimeout(patience)
        try:
            self.sock.connect(address)
            if family == socket.AF_INET:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                # An end without close_notify is told from a proper one.
                self.sock = tls.wrap_socket(
                    self.sock, server_hostname=str(address[0]), suppress_ragged_eofs=False
                )
        except BaseException:
            self.sock.close()
            raise
        self.wire = Wire(self.sock, patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- sending --------------------------------------------------------------------------------

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each with a system call of its own; a peer that has gone raises ConnectionError."""
        for piece in pieces:
            self.sock.settimeout(self.patience)
            try:
                self._send_all(piece)
            except TimeoutError:
                raise Hang(f"the peer did not take {len(piece)} bytes within {self.patience} s") from None

    def _send_all(self, piece: bytes) -> None:
        try:
            self.sock.sendall(piece)
        except ssl.SSLZeroReturnError:
            # OpenSSL sends no more once the other side said goodbye; other clients do.
            socket.socket.sendall(self.sock, piece)

    def offer(self, *pieces: bytes) -> bool:
        """Send as far as the peer takes it; false if it has gone before the end."""
        try:
            self.send(*pieces)
        except (ConnectionError, ssl.SSLEOFError):
            return False
        return True

    def finish(self) -> None:
        """Send FIN: nothing more will come from here."""
        # Not the TLS socket's own method, which forgets that it is one.
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def reset(self) -> None:
        """Hang up with RST (TCP only)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # -- reading --------------------------------------------------------------------------------

    def answer(self, method: str = "GET") -> Answer:
        """Read the final answer to a request of this method, with the interim ones before it."""
        interim: list[int] = []
        while True:
            status, reason, headers, version = self.head()
            if status >= 200:
                break
            interim.append(status)
        framing, length = _framing(method, status, headers)
        body, complete, end = self._body(framing, length)
        return Answer(status, reason, headers, body, framing, complete, end, tuple(interim), version)

    def head(self) -> tuple[int, str, Headers, str]:
        """Read one head, interim or final: status, reason, headers, version."""
        try:
            raw = self.wire.until(b"\r\n\r\n")
        except Ended as end:
            raise NoAnswer(end.how, end.partial) from None
        return parse_head(raw)

    def _body(self, framing: str, length: int) -> tuple[bytes, bool, str]:
        pieces: list[bytes] = []
        try:
            if framing == "length":
                self._take(length, pieces)
            elif framing == "chunked":
                self._take_chunks(pieces)
            elif framing == "close":
                data, end = self.wire.rest()
                return data, end == "fin", end
        except Ended as ended:
            return b"".join(pieces), False, ended.how
        return b"".join(pieces), True, ""

    def _take(self, length: int, pieces: list[bytes]) -> None:
        while length:
            piece = self.wire.some(length)
            pieces.append(piece)
            length -= len(piece)

    def _take_chunks(self, pieces: list[bytes]) -> None:
        while True:
            line = self.wire.until(b"\r\n")
            match = CHUNK_LINE.fullmatch(line)
            if not match:
                raise BadAnswer(f"chunk line {line!r}")
            size = int(match[1], 16)
            if not size:
                end = self.wire.exactly(2)
                if end != b"\r\n":
                    raise BadAnswer(f"trailer in an answer: {end!r}")
                return
            self._take(size, pieces)
            if self.wire.exactly(2) != b"\r\n":
                raise BadAnswer("no CRLF after a chunk")

    def ending(self, within: float | None = None) -> str:
        """How the connection ends: fin, reset, or open after so many seconds."""
        return self.wire.ending(self.patience if within is None else within)

    def silent(self) -> bool:
        """Whether nothing has come that is not read yet; an end counts as something."""
        return not self.wire.stirs(0)

    def quiet(self, seconds: float) -> bool:
        """Whether neither a byte nor the end comes for so long."""
        return not self.wire.stirs(seconds)


def parse_head(raw: bytes) -> tuple[int, str, Headers, str]:
    """Split an answer's head, strictly."""
    first, *lines = raw.removesuffix(b"\r\n").splitlines(keepends=True)
    match = STATUS_LINE.fullmatch(first)
    if not match:
        raise BadAnswer(f"status line {first!r}")
    headers = []
    for line in lines:
        found = FIELD_LINE.fullmatch(line)
        if not found:
            raise BadAnswer(f"header line {line!r}")
        headers.append((found[1].decode(), (found[2] or b"").decode("latin-1")))
    return int(match[1]), match[2].decode("latin-1"), tuple(headers), first[5:8].decode()


def _framing(method: str, status: int, headers: Headers) -> tuple[str, int]:
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    codings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise BadAnswer(f"ambiguous framing {headers}")
    if codings and codings != ["chunked"]:
        raise BadAnswer(f"coding {codings}")
    if lengths and not re.fullmatch("[0-9]+", lengths[0]):
        raise BadAnswer(f"length {lengths}")
    if method == "HEAD" or status in (204, 304):
        if codings and status == 204:
            raise BadAnswer("204 with Transfer-Encoding")
        return "none", 0
    if codings:
        return "chunked", 0
    if lengths:
        return "length", int(lengths[0])
    return "close", 0


# -- building requests ----------------------------------------------------------------------------

HOST = "glance.example:9292"
"""Host of the requests made here."""

LAST = b"0\r\n\r\n"
"""Last chunk and empty trailer."""


def head(
    method: str, target: str, *headers: str | bytes, version: str = "1.1", host: str | None = HOST
) -> bytes:
    """A request head; headers are whole lines without their CRLF, as str (latin-1) or bytes."""
    lines: list[str | bytes] = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += headers
    return (
        b"\r\n".join(line if isinstance(line, bytes) else line.encode("latin-1") for line in lines)
        + b"\r\n\r\n"
    )


def get(target: str, *headers: str | bytes) -> bytes:
    """A whole GET request."""
    return head("GET", target, *headers)


def put(target: str, body: bytes, *headers: str | bytes, method: str = "PUT") -> bytes:
    """A whole request with Content-Length."""
    return head(method, target, f"Content-Length: {len(body)}", *headers) + body


def put_chunked(target: str, encoded: bytes, *headers: str | bytes, method: str = "PUT") -> bytes:
    """A whole request whose body is chunked already."""
    return head(method, target, "Transfer-Encoding: chunked", *headers) + encoded


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def chunked(
    body: bytes, sizes: int | Iterable[int] = 1 << 16, *, extension: bytes = b"", trailers: bytes = b""
) -> bytes:
    """A whole chunked body; ``sizes`` is one chunk size for all, or one for each chunk in turn."""
    turn: Iterator[int] = itertools.repeat(sizes) if isinstance(sizes, int) else iter(sizes)
    pieces, start = [], 0
    while start < len(body):
        size = next(turn, len(body))
        pieces.append(chunk(body[start : start + size], extension))
        start += size
    return b"".join(pieces) + b"0\r\n" + trailers + b"\r\n"


def split(data: bytes, delivery: str) -> list[bytes]:
    """Data as it is delivered: ``whole``, in ``bytes``, or in ``thirds``."""
    if delivery == "whole":
        return [data]
    if delivery == "bytes":
        return [data[i : i + 1] for i in range(len(data))]
    third = len(data) // 3
    return [data[:third], data[third : 2 * third], data[2 * third :]]
