"""Streams of messages as three parsers read them: ours, h11 and httptools (llhttp).

Each reader takes the bytes that one side sent on a connection and gives the whole messages in it, and how its
reading ended. What none of them understands is no fault; what two of them understand differently is one.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import h11
import httptools

from shim.errors import ShimError
from shim.wire.chunked import BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from shim.wire.framing import BodyKind, Framing, request_framing, response_framing
from shim.wire.headers import connection_options
from shim.wire.http1 import HeadBuffer, parse_request_head, parse_response_head

LIMIT = 1 << 16
FIRST_FINAL = 200


class End(enum.Enum):
    """How reading ended."""

    MORE = "more is to come"
    REFUSED = "refused"
    CLOSED = "the connection is not used any further"


@dataclass(frozen=True)
class Message:
    """A whole one: method or status, target (of an answer ``b""``), body."""

    kind: bytes
    target: bytes
    body: bytes


@dataclass
class Read:
    """What a reader made of a stream."""

    messages: list[Message] = field(default_factory=list)
    end: End = End.MORE


Reader = Callable[[Sequence[bytes]], Read]


# -- ours -----------------------------------------------------------------------------------------


class OurReader:
    """The steps of ``server/protocol.py`` and ``upstream/answer.py``, without sockets."""

    def __init__(self, *, reads_answers: bool) -> None:
        self._reads_answers = reads_answers
        self._head = HeadBuffer(LIMIT)
        self._decoder: BodyDecoder | None = None
        self._read = Read()
        self._begun = Message(b"", b"", b"")
        self._is_last = False

    def read(self, pieces: Sequence[bytes]) -> Read:
        """All messages in the pieces."""
        try:
            for piece in pieces:
                self._take(piece)
        except ShimError:
            self._read.end = End.REFUSED
        return self._read

    def _take(self, data: bytes) -> None:
        while self._read.end is End.MORE:
            if self._decoder is None:
                head = self._head.feed(data)
                if head is None:
                    return
                data = self._head.take_rest()
                self._begin(head)
            else:
                decoded = self._decoder.decode(memoryview(data))
                payload = b"".join(decoded.payload)
                self._begun = Message(self._begun.kind, self._begun.target, self._begun.body + payload)
                if not decoded.ended:
                    return
                data = data[decoded.used :]
                self._finish()

    def _begin(self, head: bytes) -> None:
        if self._reads_answers:
            answer = parse_response_head(head)
            framing = response_framing("GET", answer.status, answer.headers)
            self._begun = Message(b"%d" % answer.status, b"", b"")
            self._is_last = answer.status >= FIRST_FINAL
            if answer.status < FIRST_FINAL:
                framing = Framing(BodyKind.NONE)
        else:
            request = parse_request_head(head)
            framing = request_framing(request.http_version, request.headers)
            self._begun = Message(request.method.encode(), request.target, b"")
            self._is_last = request.http_version == "1.0" or b"close" in connection_options(request.headers)
        self._decoder = _decoder(framing)
        if not framing.has_body:
            self._finish()

    def _finish(self) -> None:
        self._decoder = None
        self._read.messages.append(self._begun)
        if self._is_last:
            self._read.end = End.CLOSED


def _decoder(framing: Framing) -> BodyDecoder:
    if framing.kind is BodyKind.CHUNKED:
        return ChunkedDecoder()
    return UntilCloseDecoder() if framing.kind is BodyKind.UNTIL_CLOSE else LengthDecoder(framing.length or 0)


def our_requests(pieces: Sequence[bytes]) -> Read:
    """As our server reads them."""
    return OurReader(reads_answers=False).read(pieces)


def our_answers(pieces: Sequence[bytes]) -> Read:
    """As our upstream connection reads the answers to a GET, up to the final one."""
    return OurReader(reads_answers=True).read(pieces)


# -- h11 ------------------------------------------------------------------------------------------


def h11_requests(pieces: Sequence[bytes]) -> Read:
    """As h11's server reads them; each is answered at once, so that the next may come."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMIT)
    return _read_h11(connection, pieces, reads_answers=False)


def h11_answers(pieces: Sequence[bytes]) -> Read:
    """As h11's client reads the answers to a GET, up to the final one."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    return _read_h11(connection, pieces, reads_answers=True)


def _read_h11(connection: h11.Connection, pieces: Sequence[bytes], *, reads_answers: bool) -> Read:
    read = Read()
    connection.receive_data(b"".join(pieces))
    kind, target, body = b"", b"", b""
    try:
        while read.end is End.MORE:
            match connection.next_event():
                case h11.Request() as event:
                    kind, target, body = event.method, event.target, b""
                case h11.InformationalResponse() as event:
                    read.messages.append(Message(b"%d" % event.status_code, b"", b""))
                case h11.Response() as event:
                    kind, body = b"%d" % event.status_code, b""
                case h11.Data() as event:
                    body += bytes(event.data)
                case h11.EndOfMessage():
                    read.messages.append(Message(kind, target, body))
                    if reads_answers or not _answer_h11(connection):
                        read.end = End.CLOSED
                case h11.PAUSED:
                    read.end = End.CLOSED
                case _:
                    return read
    except h11.RemoteProtocolError:
        read.end = End.REFUSED
    return read


def _answer_h11(connection: h11.Connection) -> bool:
    """Answer a request; whether the connection takes another one."""
    connection.send(h11.Response(status_code=400, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True


# -- httptools ------------------------------------------------------------------------------------


class _Callbacks:
    def __init__(self) -> None:
        self.read = Read()
        self.parser: httptools.HttpRequestParser | httptools.HttpResponseParser
        self.target = self.body = b""

    def on_message_begin(self) -> None:
        self.target = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        kind = self.kind()
        if self._has_invented_a_body():
            self.read.end = End.CLOSED
        if self.read.end is End.MORE:
            self.read.messages.append(Message(kind, self.target, self.body))
            self._close()

    def _has_invented_a_body(self) -> bool:
        # llhttp reads one by the Content-Length of an interim answer, which has none (RFC 9110 section 15.2).
        is_answer = not isinstance(self.parser, httptools.HttpRequestParser)
        return is_answer and self.parser.get_status_code() < FIRST_FINAL and bool(self.body)

    def kind(self) -> bytes:
        if isinstance(self.parser, httptools.HttpRequestParser):
            method: bytes = self.parser.get_method()
            return method
        return b"%d" % self.parser.get_status_code()

    def _close(self) -> None:
        is_answer = not isinstance(self.parser, httptools.HttpRequestParser)
        final = is_answer and self.parser.get_status_code() >= FIRST_FINAL
        if final or (not is_answer and not self.parser.should_keep_alive()):
            self.read.end = End.CLOSED


def httptools_requests(pieces: Sequence[bytes]) -> Read:
    """As uvicorn would have them read."""
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    return _read_httptools(callbacks, pieces)


def httptools_answers(pieces: Sequence[bytes]) -> Read:
    """As an asyncio client would."""
    callbacks = _Callbacks()
    callbacks.parser = httptools.HttpResponseParser(callbacks)
    return _read_httptools(callbacks, pieces)


def _read_httptools(callbacks: _Callbacks, pieces: Sequence[bytes]) -> Read:
    try:
        for piece in pieces:
            callbacks.parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        # What follows is no HTTP for it.
        callbacks.read.end = End.CLOSED
    except httptools.HttpParserError:
        if callbacks.read.end is End.MORE:
            callbacks.read.end = End.REFUSED
    return callbacks.read
