"""Reads a server's answers from a stream: heads, interim ones apart, and bodies however they are framed.

Knows nothing of the request but what decides the framing; ``connection`` runs it beside the sending.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from shim.asgi import AnswerSource, BodySink
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


async def no_interim(_head: ResponseHead) -> None:
    """The ``Interim`` of those who want final answers only."""


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
        # What reading without a wait has come to, for whoever waits for the rest.
        self._early: ResponseHead | None = None
        self._fault: UpstreamInvalid | None = None
        self.heard = False

    @property
    def has_rest(self) -> bool:
        """Whether bytes came that belong to no answer."""
        return len(self._head) > 0

    def begin(self) -> None:
        """A new request goes out: nothing of its answer was heard yet."""
        self.heard = False
        self._early = self._fault = None

    def read_now(self) -> ResponseHead | None:
        """Read once; the answer's first head, final or not, where it has come. Asked again, reads the body.

        ``read_head`` then goes on after what has come, gives the same head, or raises what this has raised.

        Raises:
            UpstreamClosed, UpstreamInvalid: As ``read_head``.
        """
        try:
            data = self._stream.read_now(READ_SIZE)
        except UpstreamClosed as error:
            raise self._closed_early() from error
        if data is None:
            return self._early
        if not data:
            raise self._closed_early()
        self.heard = True
        if self._early is None:
            self._early = self._head_in(data)
        else:
            self._head.put_back(data)
        return self._early

    async def read_head(self, interim: Interim) -> ResponseHead:
        """The answer's final head; those before it go to ``interim``, but for 100.

        Raises:
            UpstreamClosed: The connection ended before the head did.
            UpstreamInvalid: It is not HTTP, or switches protocols.
        """
        while True:
            head = self._take_early() or await self._read_one_head()
            if head.status >= _FIRST_FINAL_STATUS:
                return head
            if head.status == _SWITCHING_PROTOCOLS:
                raise UpstreamInvalid("The upstream switches protocols, which nobody asked for.")
            if head.status != _CONTINUE:
                await interim(head)

    def _take_early(self) -> ResponseHead | None:
        if self._fault is not None:
            raise self._fault
        early, self._early = self._early, None
        return early

    async def _read_one_head(self) -> ResponseHead:
        data = self._head.take_rest() or await self._read_some_of_head()
        while (head := self._head_in(data)) is None:
            data = await self._read_some_of_head()
        return head

    def _head_in(self, data: bytes) -> ResponseHead | None:
        """The head that ends with ``data``, if it does."""
        try:
            head = self._head.feed(data)
            return None if head is None else parse_response_head(head)
        except (BadRequest, HeadTooLarge) as error:
            self._fault = _malformed(error)
            raise self._fault from error
        except UpstreamInvalid as fault:
            # Kept, for what it was found in is not there any more.
            self._fault = fault
            raise

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

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of a body whose length is known."""
        return isinstance(self._decoder, LengthDecoder) and self._decoder.left == 0

    async def pour(self, sink: BodySink) -> int | None:
        """Read on into a sink by threads, to the body's end or until it is full; None: not offered.

        To be asked between two pieces of ``read_body``, which goes on after what came; raises as it does.
        """
        decoder = self._decoder
        if not self._stream.sends_files or not isinstance(decoder, LengthDecoder):
            return None
        taken = await self._stream.pour(sink, decoder.left, self._idle, self._silent())
        decoder.left -= taken or 0
        return taken

    def skip(self, size: int) -> None:
        """So many bytes of the body were taken from the socket by somebody else."""
        assert isinstance(self._decoder, LengthDecoder)
        self._decoder.left -= size

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
