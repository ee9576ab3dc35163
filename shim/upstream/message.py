"""What goes to a server and how long it may take: values shared by both protocols and by all callers."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shim.admission.room import QueueOptions
from shim.timing import Seconds
from shim.upstream.address import Protocol as UpstreamProtocol
from shim.wire.http1 import encode_request_head
from shim.wire.uwsgi import UwsgiRequest, encode_packet, request_variables

# Glance takes in 50-80 MiB/s (measured); a third of that is slow enough to be called stuck.
RESPONSE_BASE: Seconds = 600.0
RESPONSE_RATE = 20 * 1024 * 1024
# Methods whose repetition is harmless (RFC 9110 section 9.2.2), and that carry no body here.
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class BodySource(Protocol):
    """A body that can be read from any offset, as often as needed, also while it still comes in."""

    @property
    def length(self) -> int | None:
        """Bytes in all; None as long as nobody can know."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        ...

    @property
    def in_file(self) -> int:
        """Up to where the file behind ``fileno`` holds its bytes now."""
        ...

    @property
    def in_memory(self) -> bytes | bytearray | memoryview | None:
        """All of it, where it is whole and in memory, so that it can be sent with its head; else None."""
        ...

    async def wait(self, offset: int) -> bool:
        """Wait until bytes from ``offset`` on are there; False where the body ends."""
        ...

    async def read(self, offset: int, most: int) -> bytes:
        """Some bytes from ``offset`` on, ``b""`` at the end."""
        ...

    def fileno(self) -> int | None:
        """The descriptor of its file, or None where there is none."""
        ...


class BytesBody:
    """A body held in memory."""

    is_whole = True
    in_file = 0

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def length(self) -> int:
        """Bytes in all."""
        return len(self._data)

    @property
    def in_memory(self) -> bytes:
        """All of it."""
        return self._data

    async def wait(self, offset: int) -> bool:
        """All is there."""
        return offset < len(self._data)

    async def read(self, offset: int, most: int) -> bytes:
        """Some bytes from ``offset`` on."""
        return self._data[offset : offset + most]

    def fileno(self) -> int | None:
        """It is in no file."""
        return None


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """How long a server may take, in seconds (``timeouts.*``).

    Attributes:
        response: From the last body byte sent to the response head; None: computed from the body.
    """

    connect: Seconds = 5.0
    connect_retry: Seconds = 10.0
    send: Seconds = 60.0
    response: Seconds | None = None
    response_idle: Seconds = 60.0

    @classmethod
    def of_question(cls, timeout: Seconds) -> "UpstreamTimeouts":
        """For a question of the shim's own: as long for each step, and connecting is not tried again."""
        return cls(connect=timeout, connect_retry=0, send=timeout, response=timeout, response_idle=timeout)

    def response_for(self, length: int | None) -> Seconds:
        """The time to the response head for a body of ``length`` bytes."""
        if self.response is not None:
            return self.response
        return RESPONSE_BASE + (length or 0) / RESPONSE_RATE


class UpstreamRequest(NamedTuple):
    """One request as the upstream shall see it; a tuple, because one or more are made for every request.

    Attributes:
        target: Raw target, byte for byte.
        headers: All fields but those of framing and Connection.
        body: None where the request has none; an empty one is sent with length 0.
        mount: SCRIPT_NAME of the application.
        remote: The client's address, None on a unix socket.
        server: Name and port that the client connected to.
        is_handed_off: Whether a server on this host may open the body's file instead of being sent it.
        project: Whose request it is, for a fair turn where requests wait.
        about: What it is about (an image's id), where requests about the same are to meet in one server.
        waits: How long it may wait for a slot, where that is not as for all requests.
        timeouts: How long its server may take, where that is not as for all requests.
        encoded: ``headers`` as lines of HTTP, where somebody has them; not of a body that still comes in.
    """

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: BodySource | None = None
    http_version: str = "1.1"
    mount: str = ""
    scheme: str = "http"
    remote: str | None = None
    server: tuple[str, int | None] = ("localhost", None)
    is_handed_off: bool = False
    project: str = ""
    about: str = ""
    waits: QueueOptions | None = None
    timeouts: UpstreamTimeouts | None = None
    encoded: bytes = b""

    @property
    def length(self) -> int | None:
        """Bytes of the body; None without one, and where its length is not known yet."""
        return None if self.body is None else self.body.length

    @property
    def is_chunked(self) -> bool:
        """Whether the body's end is told at its end only."""
        return self.body is not None and self.body.length is None

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again though it may have been delivered."""
        return self.body is None and self.method in REPEATABLE

    def encode_head(
        self, protocol: UpstreamProtocol, *, keep_alive: bool, post_file: bytes | None = None
    ) -> bytes:
        """The bytes before the body; raises HeadTooLarge where they do not fit the uwsgi packet.

        Args:
            protocol: The server's.
            keep_alive: Whether the connection is wanted again.
            post_file: Where a server that speaks uwsgi finds the body, if it is to open it itself.
        """
        if protocol is UpstreamProtocol.UWSGI:
            # Without a length uWSGI would take the body for empty (measured: an active image of no bytes).
            assert not self.is_chunked, "the uwsgi protocol has no chunks"
            return encode_packet(request_variables(self._as_uwsgi(post_file)))
        if self.encoded:
            size = b"" if self.body is None else b"content-length: %d\r\n" % (self.body.length or 0)
            close = b"" if keep_alive else b"connection: close\r\n"
            line = b"%b %b HTTP/1.1\r\n" % (self.method.encode("ascii"), self.target)
            return b"".join((line, self.encoded, size, close, b"\r\n"))
        headers = list(self.headers)
        if self.body is not None:
            length = self.body.length
            headers.append(
                (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
            )
        if not keep_alive:
            headers.append((b"connection", b"close"))
        return encode_request_head(self.method, self.target, headers)

    def variables(self) -> dict[bytes, bytes]:
        """The request as CGI variables, as uWSGI and WSGI applications know it."""
        return request_variables(self._as_uwsgi())

    def check_head(self, protocol: UpstreamProtocol, length: int | None) -> None:
        """Raise HeadTooLarge where the head will not fit the protocol, whatever its body turns out to be.

        Args:
            protocol: The server's.
            length: Bytes of the body as far as they are known; None takes the shortest that could be.
        """
        if protocol is UpstreamProtocol.UWSGI:
            encode_packet(request_variables(self._as_uwsgi()._replace(length=length or 0)))

    def _as_uwsgi(self, post_file: bytes | None = None) -> UwsgiRequest:
        return UwsgiRequest(
            self.method,
            self.target,
            self.http_version,
            self.headers,
            self.mount,
            self.length,
            self.scheme,
            self.remote,
            self.server,
            post_file,
        )
