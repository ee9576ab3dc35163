"""Reads a server's answers from a stream: heads, interim ones apart, and bodies however they are framed.

Knows nothing of the request but what decides the framing; ``connection`` runs it beside the sending.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from shim.asgi import AnswerSource
from shim.errors import (
    BadFraming,
    BadRequest,
    HeadTooLarge,
    ResponseTimeout,
    ShimError,
    UpstreamClosed,
    UpstreamInvalid,
)
from shim.timing import Seconds, deadline
from shim.upstream.address import Protocol
from shim.upstream.network import NetworkStream
from shim.wire.chunked import BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from shim.wire.framing import BodyKind, Framing
from shim.wire.http1 import HeadBuffer, ResponseHead, parse_response_head

READ_SIZE = 256 * 1024
MAX_RESPONSE_HEAD = 256 * 1024
_FIRST_FINAL_STATUS = 200
_SWITCHING_PROTOCOLS = 101
_CONTINUE = 100

Interim = Callable[[ResponseHead], Awaitable[None]]


class AnswerReader:
    """What comes from one server on one connection, answer after answer.

    Attributes:
        heard: Whether any byte of the present answer has come.
    """

    def __init__(self, stream: NetworkStream, protocol: Protocol, *, idle: Seconds) -> None:
        """Take the stream, what is spoken on it, and the longest silence within a body."""
        self._stream = stream
        self._protocol = protocol
        self._idle = idle
        self._head = HeadBuffer(MAX_RESPONSE_HEAD)
        self._decoder: BodyDecoder | None = None
        self.heard = False

    @property
    def has_rest(self) -> bool:
        """Whether bytes came that belong to no answer."""
        return len(self._head) > 0

    def begin(self) -> None:
        """A new request goes out: nothing of its answer was heard yet."""
        self.heard = False

    async def read_head(self, interim: Interim) -> ResponseHead:
        """The answer's final head; those before it go to ``interim``, but for 100.

        Raises:
            UpstreamClosed: The connection ended before the head did.
            UpstreamInvalid: It is not HTTP, or switches protocols.
        """
        while True:
            head = await self._read_one_head()
            if head.status >= _FIRST_FINAL_STATUS:
                return head
            if head.status == _SWITCHING_PROTOCOLS:
                raise UpstreamInvalid("The upstream switches protocols, which nobody asked for.")
            if head.status != _CONTINUE:
                await interim(head)

    async def _read_one_head(self) -> ResponseHead:
        data = self._head.take_rest() or await self._read_some_of_head()
        while True:
            try:
                head = self._head.feed(data)
            except (BadRequest, HeadTooLarge) as error:
                raise _malformed(error) from error
            if head is not None:
                return parse_response_head(head)
            data = await self._read_some_of_head()

    async def _read_some_of_head(self) -> bytes:
        try:
            data = await self._stream.read(READ_SIZE)
        except UpstreamClosed as error:
            # A server that closes with bytes of ours unread resets: that tells no more than an end.
            raise self._closed_early() from error
        if not data:
            raise self._closed_early()
        self.heard = True
        return data

    def _closed_early(self) -> UpstreamClosed:
        if self.heard:
            return UpstreamClosed("The upstream closed the connection in the middle of its answer's head.")
        text = "The upstream closed the connection without an answer."
        if self._protocol is Protocol.UWSGI:
            text += " uWSGI does so when a head exceeds its buffer-size, or when its worker dies."
        return UpstreamClosed(text)

    def take_whole(self, framing: Framing) -> bytes | None:
        """A body that is here to its end already, without the steps that one on its way needs; else None."""
        if not framing.has_body:
            return b""
        if framing.length is None or len(self._head) < framing.length:
            return None
        rest = self._head.take_rest()
        self._head.put_back(rest[framing.length :])
        return rest[: framing.length]

    async def read_body(self, framing: Framing) -> AsyncGenerator[bytes | memoryview, None]:
        """The answer's body, piece by piece.

        Raises:
            UpstreamClosed: It ended before its end.
            UpstreamInvalid: Its chunks are malformed.
            ResponseTimeout: Nothing came for ``timeouts.response_idle``.
        """
        if not framing.has_body:
            return
        decoder = self._decoder = _decoder(framing)
        data = self._head.take_rest()
        idle, expired = self._idle, self._silent()
        while True:
            with _invalid_body():
                decoded = decoder.decode(memoryview(data))
            for piece in decoded.payload:
                yield piece
            if decoded.ended:
                # What follows the end belongs to no request: it stays, and the connection is not reused.
                self._head.put_back(data[decoded.used :])
                return
            async with deadline(idle, lambda: expired):
                data = await self._stream.read(READ_SIZE)
            if not data:
                if framing.kind is BodyKind.UNTIL_CLOSE:
                    return
                raise UpstreamClosed("The upstream closed the connection in the middle of its answer.")

    def source(self) -> AnswerSource | None:
        """The socket with what is left of the body in it; None where its end can only be found by reading.

        To be asked between two pieces of ``read_body``, which is not gone on with once the bytes are taken.
        """
        descriptor = self._stream.fileno()
        if descriptor is None or not isinstance(self._decoder, LengthDecoder):
            return None
        return AnswerSource(descriptor, self._decoder.left, self._idle, self._silent())

    def _silent(self) -> ResponseTimeout:
        return ResponseTimeout(f"The upstream sent nothing more of its answer for {self._idle:g} s.")


def _decoder(framing: Framing) -> BodyDecoder:
    if framing.kind is BodyKind.CHUNKED:
        return ChunkedDecoder()
    return UntilCloseDecoder() if framing.length is None else LengthDecoder(framing.length)


@contextlib.contextmanager
def _invalid_body() -> Iterator[None]:
    try:
        yield
    except BadFraming as error:
        raise _malformed(error) from error


def _malformed(error: ShimError) -> UpstreamInvalid:
    return UpstreamInvalid(f"The upstream's answer is malformed: {error.detail}")
