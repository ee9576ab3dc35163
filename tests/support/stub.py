"""A scriptable upstream: HTTP/1.1 or the uwsgi protocol, on TCP or a unix socket, in threads of its own.

It records every request byte for byte and answers each by a script (``replies.py``), which may
misbehave in any way a server behind a proxy can. What the proxy does wrong on this side of it
(a malformed head, a uwsgi packet that does not add up) is collected in ``faults``.
"""

import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.wire import PIECE, Ended, Hang, Wire, eventually

KEPT = 1 << 20
"""Bodies up to so many bytes are kept; of longer ones only length and sha256."""

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
HEADER_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(|[\x21-\x7e\x80-\xff]"
    rb"(?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*"
)
VARIABLE_NAME = re.compile(rb"[A-Z][A-Z0-9_]*|HTTP_[!#$%&'*+.^`|~0-9A-Z_]+")
PING = b"\x64\0\0\0"
PONG = b"\x64\0\0\0"


@dataclass
class Seen:
    """One request as the upstream saw it.

    ``raw`` is the head, or the whole uwsgi packet with its four bytes; ``fields`` are its headers or
    variables in order. ``connection`` counts from 1 over the stub's life, ``position`` from 1 on its
    connection. ``ended`` is how the peer left while a reply still read or waited.
    """

    protocol: str
    connection: int
    position: int
    raw: bytes
    method: str = ""
    target: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    received: int = 0
    sha256: str = ""
    complete: bool = False
    ended: str = ""

    def all(self, name: str) -> list[str]:
        """The values of a header (uwsgi: of its variable), in order."""
        if self.protocol == "uwsgi":
            plain = name.upper().replace("-", "_")
            wanted = plain if plain in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{plain}"
            return [value for key, value in self.fields if key == wanted]
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def joined(self, name: str) -> str | None:
        """The values of a header as one, the same over both protocols; None where it is missing."""
        values = self.all(name)
        return ("; " if name.lower() == "cookie" else ", ").join(values) if values else None

    @property
    def names(self) -> set[str]:
        """The names of all headers or variables, in lower case."""
        return {name.lower() for name, _ in self.fields}

    @property
    def variables(self) -> dict[str, str]:
        """The uwsgi variables."""
        assert self.protocol == "uwsgi"
        return dict(self.fields)

    @property
    def length(self) -> str | None:
        """Content-Length as given; None where there is none (uwsgi: an empty CONTENT_LENGTH is none)."""
        values = self.all("Content-Length")
        assert len(values) <= 1, values
        return values[0] if values and values[0] else None

    @property
    def codings(self) -> list[str]:
        """Whatever says Transfer-Encoding; must be empty behind a spool."""
        return self.all("Transfer-Encoding") + self.all("TE") + self.all("Trailer")

    def __str__(self) -> str:
        place = f"connection {self.connection}.{self.position}"
        return f"{self.method} {self.target} ({place}, {self.received} bytes)"


class Exchange:
    """What a reply has in hand: the request seen, and the connection to answer on."""

    def __init__(self, stub: "Stub", sock: socket.socket, wire: Wire, seen: Seen) -> None:
        self.stub = stub
        self.sock = sock
        self.wire = wire
        self.seen = seen
        self.keep = False
        self._digest = hashlib.sha256()

    # -- reading ----------------------------------------------------------------------------------

    def read_body(self, count: int | None = None) -> None:
        """Read the body, or only up to its first ``count`` bytes; what is read already is not read again."""
        seen = self.seen
        if seen.complete:
            return
        try:
            if self.stub.protocol == "http" and seen.all("Transfer-Encoding"):
                self._read_chunks()
            elif not self._read_length(count):
                return
        except Ended as end:
            seen.ended = end.how
            raise
        seen.complete = True
        seen.sha256 = self._digest.hexdigest()
        if self.stub.protocol == "uwsgi" and self.wire.pending():
            self.stub.faults.append(f"bytes after the body of {seen}: {self.wire.pending()[:100]!r}")

    def _read_length(self, count: int | None) -> bool:
        """Read up to ``count`` bytes; whether that was all."""
        length = int(self.seen.length or 0)
        wanted = length if count is None else min(count, length)
        self._take(wanted - self.seen.received)
        return wanted == length

    def _take(self, count: int) -> None:
        while count:
            piece = self.wire.some(count)
            count -= len(piece)
            self.seen.received += len(piece)
            self._digest.update(piece)
            if self.seen.received <= KEPT:
                self.seen.body += piece

    def _read_chunks(self) -> None:
        while size := int(self.wire.until(b"\r\n").partition(b";")[0], 16):
            self._take(size)
            self.wire.exactly(2)
        while self.wire.until(b"\r\n") != b"\r\n":
            pass

    def wait_end(self) -> None:
        """Wait until the peer hangs up; bytes that still come are dropped."""
        self.seen.ended = self.wire.ending(self.stub.patience)

    def wait(self, gate: threading.Event) -> None:
        """Wait for the test to open a gate, or for the end of the stub."""
        eventually(lambda: gate.is_set() or self.stub.ending, f"the gate of {self.seen}", self.stub.patience)

    # -- answering --------------------------------------------------------------------------------

    def send(self, *pieces: bytes) -> None:
        """Send pieces as they are."""
        for piece in pieces:
            self.sock.settimeout(self.stub.patience)
            self.sock.sendall(piece)

    def close(self) -> None:
        """Close at once; with unread bytes the kernel makes it a reset."""
        self.keep = False
        self.sock.close()

    def reset(self) -> None:
        """Close with RST (on a unix socket there is none: a plain close)."""
        if self.sock.family == socket.AF_INET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


Reply = Callable[[Exchange], None]


def accepted(exchange: Exchange) -> None:
    """Answer 200 with a body that names the request, on a connection that stays open (HTTP)."""
    exchange.read_body()
    body = f"{exchange.seen.method} {exchange.seen.target}".encode()
    empty = exchange.seen.method == "HEAD"
    exchange.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/x-stub\r\nContent-Length: %d\r\n\r\n" % len(body)
        + (b"" if empty else body)
    )
    exchange.keep = True


class Stub:
    """The upstream. ``protocol`` is http or uwsgi; with ``path`` it listens on a unix socket.

    With ``listening=False`` its address exists and refuses, until :meth:`listen`.
    """

    def __init__(
        self,
        protocol: str = "http",
        path: Path | None = None,
        *,
        listening: bool = True,
        patience: float = 30.0,
    ) -> None:
        self.protocol = protocol
        self.path = path
        self.patience = patience
        self.requests: list[Seen] = []
        self.faults: list[str] = []
        self.fragments: list[bytes] = []
        self.touched = 0
        self.pings = 0
        self.closed = 0
        self._accepted = 0
        self._active = 0
        self._lock = threading.RLock()
        self._turns: list[Reply] = []
        self._targets: dict[str, list[Reply]] = {}
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.ending = False
        if path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
        else:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.bind(("127.0.0.1", 0))
        self.address: Any = self._listener.getsockname()
        if listening:
            self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The upstream URL that leads here."""
        if self.path:
            return f"{self.protocol}+unix://{self.path}"
        return f"{self.protocol}://127.0.0.1:{self.address[1]}"

    # -- scripts ----------------------------------------------------------------------------------

    def answer(self, *replies: Reply) -> None:
        """Give the next requests these replies, one each; after them comes ``accepted``."""
        with self._lock:
            self._turns += replies

    def on(self, target: str, *replies: Reply) -> None:
        """Give the next requests for one target these replies, before any of :meth:`answer`."""
        with self._lock:
            self._targets.setdefault(target, []).extend(replies)

    def forget(self) -> None:
        """Drop scripts and records, for the next test. Nothing may be under way."""
        eventually(lambda: not self._active, f"the stub is at rest; it works on {self.requests[-1:]}")
        with self._lock:
            self.requests = []
            self.faults = []
            self.fragments = []
            self._turns = []
            self._targets = {}
            self.touched = self.pings = 0

    # -- records ----------------------------------------------------------------------------------

    def only(self) -> Seen:
        """The one request seen, read to its end."""
        assert len(self.requests) == 1, self.story()
        assert self.requests[0].complete, self.story()
        return self.requests[0]

    def story(self) -> str:
        """What was seen, a line each."""
        return "seen upstream: " + ("; ".join(map(str, self.requests)) or "nothing") + f" {self.fragments}"

    def wait_requests(self, count: int = 1, *, complete: bool = True) -> list[Seen]:
        """Wait until so many requests are there, by default with their bodies."""

        def enough() -> list[Seen]:
            there = [seen for seen in self.requests if seen.complete or not complete]
            return there if len(there) >= count else []

        return eventually(enough, f"{count} requests upstream")

    # -- serving ----------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take connections from now on."""
        self._listener.listen(128)
        self._spawn(self._accept)

    def listen_deaf(self) -> None:
        """Let the kernel take connections that nobody will ever serve."""
        self._listener.listen(128)

    def hang_up(self) -> None:
        """End all open connections, as a server does with idle ones; wait until they are closed."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        eventually(lambda: not self._sockets.intersection(sockets), "the connections are closed")

    def close(self) -> None:
        """End every connection and every thread."""
        with self._lock:
            self.ending = True
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(self.patience)
            assert not thread.is_alive(), "a stub thread does not end"
        if self.path:
            self.path.unlink(missing_ok=True)

    def _spawn(self, work: Callable[..., None], *values: object) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive() or not other.ident]
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.ending:
                    sock.close()
                    return
                if sock.family == socket.AF_INET:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._accepted += 1
                self._sockets.add(sock)
            self._spawn(self._serve, sock, self._accepted)

    def _serve(self, sock: socket.socket, number: int) -> None:
        wire = Wire(sock, None)
        try:
            position = 1
            while (seen := self._read_head(wire, number, position)) and self._reply(sock, wire, seen):
                position += 1
        except (Ended, OSError):
            pass  # the peer has gone: what was seen of the request is recorded
        except Hang as hang:
            if not self.ending:
                self.faults.append(str(hang))
        finally:
            with self._lock:
                self._sockets.discard(sock)
                self.closed += 1
            sock.close()

    def _reply(self, sock: socket.socket, wire: Wire, seen: Seen) -> bool:
        """Run the script of a request; true if the connection takes another one."""
        wire.patience = self.patience
        exchange = Exchange(self, sock, wire, seen)
        with self._lock:
            self._active += 1
            self.requests.append(seen)
            turns = self._targets.get(seen.target) or self._turns
            reply = turns.pop(0) if turns else accepted
        try:
            reply(exchange)
        finally:
            with self._lock:
                self._active -= 1
        wire.patience = None
        leaving = "close" in (seen.joined("Connection") or "").lower()
        return exchange.keep and self.protocol == "http" and not leaving

    def _read_head(self, wire: Wire, number: int, position: int) -> Seen | None:
        """The next request of a connection; None at its end, or after a ping."""
        try:
            if not wire.buffer:
                wire.fill()
            if self.protocol == "uwsgi":
                return self._read_packet(wire, number, position)
            self._count_touch(position)
            raw = wire.until(b"\r\n\r\n")
        except Ended as end:
            if end.partial:
                self.fragments.append(end.partial)
            return None
        return self._parse_head(raw, number, position)

    def _count_touch(self, position: int) -> None:
        if position == 1:
            with self._lock:
                self.touched += 1

    def _parse_head(self, raw: bytes, number: int, position: int) -> Seen:
        seen = Seen("http", number, position, raw)
        first, *lines = raw[:-4].split(b"\r\n")
        match = REQUEST_LINE.fullmatch(first)
        if not match:
            self.faults.append(f"request line {first!r}")
            return seen
        seen.method, seen.target = match[1].decode(), match[2].decode()
        for line in lines:
            found = HEADER_LINE.fullmatch(line)
            if not found:
                self.faults.append(f"header line {line!r}")
                continue
            seen.fields.append((found[1].decode(), found[2].decode("latin-1")))
        count = Counter(name.lower() for name, _ in seen.fields)
        self.faults += [
            f"{name} came {count[name]} times"
            for name in ("host", "content-length", "transfer-encoding")
            if count[name] > 1
        ]
        if match[3] == b"1" and not count["host"]:
            self.faults.append("HTTP/1.1 without Host")
        return seen

    def _read_packet(self, wire: Wire, number: int, position: int) -> Seen | None:
        start = wire.exactly(4)
        if start == PING:
            self.pings += 1
            wire.sock.sendall(PONG)
            return None
        self._count_touch(position)
        if start[0] or start[3]:
            self.faults.append(f"modifiers {start!r}")
        data = wire.exactly(start[1] | start[2] << 8)
        seen = Seen("uwsgi", number, position, start + data)
        try:
            seen.fields = decode_variables(data)
        except ValueError as fault:
            self.faults.append(f"uwsgi packet: {fault}")
            return seen
        count = Counter(name for name, _ in seen.fields)
        self.faults += [f"variable {name} came {times} times" for name, times in count.items() if times > 1]
        self.faults += [
            f"variable name {name!r}" for name in count if not VARIABLE_NAME.fullmatch(name.encode("latin-1"))
        ]
        self.faults += [
            f"variable {name} is missing"
            for name in (
                "SCRIPT_NAME",
                "PATH_INFO",
                "REQUEST_METHOD",
                "REQUEST_URI",
                "QUERY_STRING",
                "SERVER_PROTOCOL",
            )
            if name not in count
        ]
        seen.method, seen.target = (
            seen.variables.get("REQUEST_METHOD", ""),
            seen.variables.get("REQUEST_URI", ""),
        )
        return seen


def decode_variables(data: bytes) -> list[tuple[str, str]]:
    """The variables of a uwsgi packet, in order, as latin-1."""
    variables, place = [], 0

    def take() -> str:
        nonlocal place
        if place + 2 > len(data):
            raise ValueError(f"cut at {place} of {len(data)}")
        size = data[place] | data[place + 1] << 8
        place += 2
        if place + size > len(data):
            raise ValueError(f"{size} bytes announced at {place} of {len(data)}")
        place += size
        return data[place - size : place].decode("latin-1")

    while place < len(data):
        name = take()
        variables.append((name, take()))
    return variables


def encode_variables(variables: list[tuple[str, str]]) -> bytes:
    """A uwsgi packet without body: four bytes, then the variables."""
    data = b"".join(
        struct.pack("<H", len(word)) + word
        for pair in variables
        for word in (pair[0].encode("latin-1"), pair[1].encode("latin-1"))
    )
    return b"\0" + struct.pack("<H", len(data)) + b"\0" + data


__all__ = ["PIECE", "Exchange", "Reply", "Seen", "Stub", "accepted", "decode_variables", "encode_variables"]
