"""One request and its answer on a client connection, as ASGI: scope, ``receive()`` and ``send()``.

The answer's framing is decided here, and an application that fails in the middle of an answer ends
in a cut that the client sees, never in an answer that looks whole.
"""

import asyncio
import enum
import http
import logging
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from shim.asgi import INBOUND, TO_COME, AnswerSource, Application, Inbound, Message, Moved, Movement, Scope
from shim.errors import ShimError
from shim.server.relay import relay_answer
from shim.wire.chunked import LAST_CHUNK
from shim.wire.headers import Headers, connection_options, get_first
from shim.wire.http1 import RequestHead, encode_response_head

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

log = logging.getLogger("shim.server")

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


class Exchange:
    """One request and its answer."""

    def __init__(
        self,
        connection: "ClientConnection",
        request: RequestHead,
        *,
        body_ended: bool,
        refusal: ShimError | None = None,
    ) -> None:
        """Take the request; ``body_ended`` where it has no body, ``refusal`` where it is not to be served."""
        self._connection = connection
        self._request = request
        self._refusal = refusal
        self._pieces: list[bytes | memoryview] = []
        self._buffered = 0
        self._body_ended = body_ended
        self._end_told = False
        self._body_error: ShimError | None = None
        self._disconnected = False
        # Made by who waits, for a request without a body, or with all of it here, waits for nothing.
        self._arrived: asyncio.Event | None = None
        self._on_leaving: Callable[[], None] | None = None
        self.answering = Answering.NOT_BEGUN
        self._ending = Ending.NO_BODY
        self._length_left = 0
        self._head = b""
        self.keep_alive = (
            refusal is None
            and request.http_version == "1.1"
            and b"close" not in connection_options(request.headers)
        )

    async def run(self, application: Application) -> None:
        """Run the application to its end, and the connection after it."""
        try:
            await application(self._scope(), self.receive, self.send)
        except asyncio.CancelledError:
            self.cut()
            raise
        except ShimError:
            # Told and counted where it was raised; here it only means that the answer cannot go on.
            self.cut()
        except Exception:
            log.exception("The application failed")
            self.cut()
        if self.answering is not Answering.COMPLETE:
            self.cut()

    # -- the request ------------------------------------------------------------------------------

    def _scope(self) -> Scope:
        raw_path, _, query = self._request.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": self._request.http_version,
            "method": self._request.method,
            "path": _decoded(raw_path),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(self._request.headers),
            "state": self._connection.app_state.copy(),
            "extensions": {
                INBOUND: Inbound(
                    self._request.target,
                    self._refusal,
                    self._connection.take_over,
                    self.move_answer,
                    self.watch_client,
                    self.receive_now,
                ),
                "http.response.early_hint": {},
            },
            **self._connection.stream.ends,
        }

    async def receive(self) -> Message:
        """The next part of the body, or the client's leaving; the first call asks the client for it.

        Raises:
            BadFraming: The body is malformed; only our own server says so, others disconnect.
        """
        if self.answering is Answering.COMPLETE:
            # As ASGI has it; and a body that the connection holds by now is the next request's.
            return {"type": "http.disconnect"}
        self._connection.ask_for_body(expects_continue=self._expects_continue)
        if not (self._pieces or self._body_ended):
            # Not when the last part was taken: whoever lets a pump go on wants no more of it here.
            self._connection.read_body()
        while not (self._pieces or self._disconnected or self._body_error or self._is_end_news):
            if self._arrived is None or self._arrived.is_set():
                self._arrived = asyncio.Event()
            await self._arrived.wait()
        if self._body_error is not None:
            raise self._body_error
        if self._disconnected or self._end_told:
            return {"type": "http.disconnect"}
        message = self._take_body()
        # ASGI wants bytes, and nothing that looks like them.
        message["body"] = bytes(message["body"])
        return message

    def receive_now(self) -> Message | None:
        """What ``receive`` would give at once, None where it would wait or fail; an ``Inbound`` offer."""
        if self._disconnected or self._end_told or self.answering is Answering.COMPLETE:
            return None
        self._connection.ask_for_body(expects_continue=self._expects_continue)
        if not (self._pieces or self._body_ended):
            self._connection.read_now()
        if self._body_error is not None or not (self._pieces or self._body_ended):
            return None
        return self._take_body()

    @property
    def _is_end_news(self) -> bool:
        return self._body_ended and not self._end_told

    @property
    def _expects_continue(self) -> bool:
        expect = get_first(self._request.headers, b"expect")
        return expect is not None and self._request.http_version == "1.1"

    def _take_body(self) -> Message:
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        self._end_told = self._body_ended
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._body_ended:
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.request", "body": body, "more_body": True, TO_COME: self._connection.to_come}

    def take_unread(self) -> bytes:
        """The part of the body that has come and was not received yet."""
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        return b"".join(pieces)

    def end_was_told(self) -> None:
        """The application knows of the body's end without having received it."""
        self._end_told = True

    def add_body(self, pieces: list[memoryview], *, ended: bool) -> int:
        """Take decoded bytes; gives how many wait for the application."""
        if pieces:
            # Joined at once: a view costs two hundred bytes, and a client may send chunks of one.
            joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces.append(joined)
            self._buffered += len(joined)
        self._body_ended = ended
        self._tell_receiver()
        return self._buffered

    def _tell_receiver(self) -> None:
        if self._arrived is not None:
            self._arrived.set()

    def fail_body(self, error: ShimError) -> None:
        """The body is malformed."""
        self._body_error = error
        self._tell_receiver()

    def disconnect(self) -> None:
        """The client has gone."""
        self._disconnected = True
        self._tell_receiver()
        if self._on_leaving is not None:
            self._on_leaving()

    def watch_client(self, on_leaving: Callable[[], None] | None) -> None:
        """Call back when the client leaves, now if it has left; an ``Inbound`` offer."""
        self._on_leaving = on_leaving
        if self._disconnected and on_leaving is not None:
            on_leaving()

    # -- the answer -------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Write a part of the answer, at the client's pace."""
        if self._disconnected:
            return
        kind = message["type"]
        if kind == "http.response.early_hint":
            self._write_hints(message["links"])
        elif kind == "http.response.start" and self.answering is Answering.NOT_BEGUN:
            self._write_head(message["status"], tuple(message.get("headers", ())))
        elif kind == "http.response.body" and self.answering is Answering.BEGUN:
            self._write_body(message.get("body", b""))
            if not message.get("more_body", False):
                self._complete()
                return
            await self._connection.stream.drain()
        else:
            raise RuntimeError(f"{kind!r} is out of turn: the answer is {self.answering.value}.")

    def _write_hints(self, links: list[bytes]) -> None:
        # A client of HTTP/1.0 knows no interim answers (RFC 9110 section 15.2).
        if self._request.http_version == "1.1" and self.answering is Answering.NOT_BEGUN:
            head = encode_response_head(103, b"Early Hints", [(b"link", link) for link in links])
            self._connection.stream.write(head)

    def _write_head(self, status: int, headers: Headers) -> None:
        self.answering = Answering.BEGUN
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

    async def move_answer(self, source: AnswerSource, moved: Moved) -> Movement | None:
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
        self.answering = Answering.COMPLETE
        self._connection.server_state.total_requests += 1
        if self.keep_alive:
            self._connection.next_request()
        else:
            self._connection.end()

    def cut(self) -> None:
        """End an answer that is not whole so that the client sees it."""
        if self.answering is not Answering.COMPLETE and not self._disconnected:
            self._connection.cut(with_reset=self._ending is Ending.CLOSE)


def _decoded(raw_path: bytes) -> str:
    """The path as ASGI has it; a target is ASCII, so where nothing is escaped there is nothing to be done."""
    if b"%" not in raw_path:
        return raw_path.decode("ascii")
    return urllib.parse.unquote_to_bytes(raw_path).decode("utf-8", "replace")
