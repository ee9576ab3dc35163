"""The answer of one exchange as it goes to the client: ASGI's ``send()``, and the framing that it gets.

Whatever goes wrong with it ends in a cut that the client sees.
"""

import enum
import http
from typing import TYPE_CHECKING

from shim.asgi import AnswerSource, Fields, Message, Moved, Movement
from shim.server.relay import relay_answer
from shim.wire.chunked import LAST_CHUNK
from shim.wire.headers import Headers, connection_options, get_first
from shim.wire.http1 import RequestHead, encode_response_head

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

_BODILESS = frozenset({http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED})
_REASONS = {status.value: status.phrase.encode("ascii") for status in http.HTTPStatus}
_NO_LENGTH = -1
# Pieces of an answer that are copied into one write.
JOINED_UP_TO = 64 * 1024


class Answering(enum.Enum):
    """How far the answer is."""

    NOT_BEGUN = "not begun"
    BEGUN = "begun"
    COMPLETE = "complete"


class Ending(enum.Enum):
    """How the client finds the answer's end."""

    NO_BODY = "no body"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class OutgoingAnswer:
    """One answer.

    Attributes:
        progress: How far it is.
        keep_alive: Whether the connection stays for another request.
        is_dropped: Whether the client has gone: what comes is thrown away.
    """

    def __init__(self, connection: "ClientConnection", request: RequestHead, *, keep_alive: bool) -> None:
        """Take what it answers; ``keep_alive``: as far as the client wants it."""
        self._connection = connection
        self._request = request
        self._ending = Ending.NO_BODY
        self._length_left = 0
        self._head = b""
        self.is_dropped = False
        self.progress = Answering.NOT_BEGUN
        self.keep_alive = (
            keep_alive
            and request.http_version == "1.1"
            and b"close" not in connection_options(request.headers)
        )

    @property
    def is_complete(self) -> bool:
        """Whether the client was given all of it."""
        return self.progress is Answering.COMPLETE

    async def send(self, message: Message) -> None:
        """Write a part of the answer, at the client's pace."""
        if self.is_dropped:
            return
        kind = message["type"]
        if kind == "http.response.early_hint":
            self._write_hints(message["links"])
        elif kind == "http.response.start" and self.progress is Answering.NOT_BEGUN:
            self._write_head(message["status"], tuple(message.get("headers", ())))
        elif kind == "http.response.body" and self.progress is Answering.BEGUN:
            self._write_body(message.get("body", b""))
            if not message.get("more_body", False):
                self._complete()
                return
            await self._connection.stream.drain()
        else:
            raise RuntimeError(f"{kind!r} is out of turn: the answer is {self.progress.value}.")

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """Write all of it at once: a small one needs no pace."""
        self._write_head(status, tuple(headers))
        self._write_body(body)
        self._complete()

    def _write_hints(self, links: list[bytes]) -> None:
        # A client of HTTP/1.0 knows no interim answers (RFC 9110 section 15.2).
        if self._request.http_version == "1.1" and self.progress is Answering.NOT_BEGUN:
            head = encode_response_head(103, b"Early Hints", [(b"link", link) for link in links])
            self._connection.stream.write(head)

    def _write_head(self, status: int, headers: Headers) -> None:
        self.progress = Answering.BEGUN
        fields = [field for field in headers if field[0] not in (b"connection", b"transfer-encoding")]
        # A request not read to its end cannot be followed by another one.
        if not self._connection.is_request_read or b"close" in connection_options(headers):
            self.keep_alive = False
        self._decide_ending(status, get_first(headers, b"content-length"))
        if self._ending is Ending.CHUNKED:
            fields.append((b"transfer-encoding", b"chunked"))
        if not self.keep_alive:
            fields.append((b"connection", b"close"))
        fields += [
            (name, value)
            for name, value in self._connection.server_state.default_headers
            if get_first(headers, name) is None
        ]
        # Kept until the first byte of the body, as ASGI has it: a small answer is then one packet.
        self._head = encode_response_head(status, _REASONS.get(status, b""), fields)

    def _decide_ending(self, status: int, length: bytes | None) -> None:
        """RFC 9112 section 6.3, from the sender's side."""
        self._length_left = _NO_LENGTH
        if self._request.method == "HEAD" or status in _BODILESS:
            self._ending = Ending.NO_BODY
        elif length is not None:
            self._ending, self._length_left = Ending.LENGTH, int(length)
        elif self._request.http_version == "1.1":
            self._ending = Ending.CHUNKED
        else:
            self._ending, self.keep_alive = Ending.CLOSE, False

    def _write_body(self, data: bytes | memoryview) -> None:
        head, self._head = self._head, b""
        if len(data) == 0 or self._ending is Ending.NO_BODY:
            self._write(head)
            return
        if self._ending is Ending.CHUNKED:
            self._write(head + b"%x\r\n" % len(data), data, b"\r\n")
            return
        if self._ending is Ending.LENGTH:
            if len(data) > self._length_left:
                raise RuntimeError("The answer is longer than its Content-Length.")
            self._length_left -= len(data)
        self._write(head, data)

    def _write(self, *pieces: bytes | memoryview) -> None:
        """Write pieces: small ones together, for each write is a packet; large ones are not copied."""
        if sum(map(len, pieces)) <= JOINED_UP_TO:
            pieces = (b"".join(pieces),)
        for piece in pieces:
            if len(piece):
                self._connection.stream.write(piece)

    async def move(self, source: AnswerSource, moved: Moved) -> Movement | None:
        """Have all that is left of the answer moved from another socket; an ``Inbound`` offer."""
        connection = self._connection
        # What does not fit the framing is for ``send`` to complain of.
        fits = self._ending is Ending.LENGTH and source.size == self._length_left
        if not fits:
            return None
        movement = await relay_answer(connection.relays, connection.stream, source, moved)
        if movement is not None:
            self._length_left -= movement.taken - len(movement.held)
        return movement

    def _complete(self) -> None:
        if self._ending is Ending.LENGTH and self._length_left:
            raise RuntimeError("The answer is shorter than its Content-Length.")
        if self._ending is Ending.CHUNKED:
            self._connection.stream.write(LAST_CHUNK)
        self.progress = Answering.COMPLETE
        self._connection.server_state.total_requests += 1
        if self.keep_alive:
            self._connection.next_request()
        else:
            self._connection.end()

    def cut(self) -> None:
        """Nothing more comes: where it is not complete, the connection ends so that the client sees it."""
        if self.is_complete or self.is_dropped:
            return
        stream = self._connection.stream
        if self._ending is Ending.CLOSE:
            # Its end is the connection's end: after a FIN it would look whole.
            stream.reset()
        else:
            stream.abort()
