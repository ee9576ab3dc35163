"""The bodies of a connection's requests: held back until they are asked for, then decoded, or left to a pump.

Because a body is held, everything that is decided before the application's first ``receive()`` is decided
before a byte of it, and before a 100.
"""

from typing import TYPE_CHECKING

from shim.errors import BadFraming
from shim.poller import Poller
from shim.server.reading import MOST_PIPELINED, Reading
from shim.server.takeover import Takeover
from shim.server.tls_pump import make_intake
from shim.wire.chunked import LAST_CHUNK, BodyDecoder, ChunkedDecoder, LengthDecoder
from shim.wire.framing import BodyKind, Framing

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

# A pump reads up to a megabyte at once, and what comes behind a body with it: so much of that is always
# kept, and more as long as all connections together hold no more than this.
MOST_BEHIND = 4 * MOST_PIPELINED
MOST_BEHIND_ALL = 64 * 1024 * 1024
# Decoded bytes waiting for the application; beyond it the client is held back.
# (uvloop reads 250 KB at a time: after one such read nothing more comes unasked for.)
HIGH_WATER = 192 * 1024
# What is taken of a body in one read of our own: a small body with its chunks' lines.
READ_AT_ONCE = 128 * 1024


class RequestBody:
    """The body of the request under way; one object for all requests of a connection."""

    def __init__(self, connection: "ClientConnection", poller: Poller | None) -> None:
        """Take whose bodies they are, and what reads them into files (None: the loop alone)."""
        self._connection = connection
        self._poller = poller
        self._framing: Framing | None = None
        self._decoder: BodyDecoder | None = None

    def hold(self, framing: Framing) -> None:
        """Keep a body back: what came of it with its head is held, and nothing more is read."""
        self._framing = framing
        self._connection.state = Reading.HELD
        if not self.seems_whole:
            self._connection.stream.pause()

    @property
    def seems_whole(self) -> bool:
        """Whether what is held looks like all of it, so that nothing more has to be read."""
        assert self._framing is not None
        return _seems_whole(self._connection.held, self._framing)

    @property
    def to_come(self) -> int:
        """Bytes of the body that are known to come yet."""
        return 0 if self._decoder is None else self._decoder.left

    def ask(self, *, expects_continue: bool) -> None:
        """Begin to take the body; the client is told to go on where it waits for that."""
        if self._connection.state is not Reading.HELD:
            return
        assert self._framing is not None
        if expects_continue and not self._connection.held:
            self._connection.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._connection.state = Reading.BODY
        self._decoder = _decoder(self._framing)
        held, self._connection.held = self._connection.held, b""
        if held:
            self.feed(held)
        if self._connection.state is not Reading.REFUSED:
            self._connection.stream.resume()
            self._connection.hold_back()

    def go_on(self) -> None:
        """Go on where enough of the body had come for the moment."""
        if self._connection.state is Reading.BODY:
            self._connection.stream.resume()

    def feed(self, data: bytes) -> None:
        """Decode what came of it."""
        assert self._decoder is not None
        assert self._connection.exchange is not None
        try:
            decoded = self._decoder.decode(memoryview(data))
        except BadFraming as error:
            # Where this body ends cannot be known, so nothing behind it is ever taken for a request.
            self._connection.state = Reading.REFUSED
            self._connection.stream.pause()
            self._connection.exchange.fail_body(error)
            return
        if decoded.ended:
            self._connection.state = Reading.AFTER
            self._connection.held = data[decoded.used :]
        buffered = self._connection.exchange.add_body(decoded.payload, ended=decoded.ended)
        if buffered > HIGH_WATER and not decoded.ended:
            self._connection.stream.pause()

    def read_now(self) -> None:
        """Take what waits in the socket: a body right behind its head then needs no turn of the loop.

        Only where fast ways are wanted: without them a body comes by the transport alone.
        """
        if self._poller is None or self._connection.state is not Reading.BODY:
            return
        data = self._connection.stream.read_now(READ_AT_ONCE)
        if data:
            self.feed(data)

    def take_over(self) -> Takeover | None:
        """Let a pump read the rest of the body; None where it has ended, or only the loop can read it."""
        if self._poller is None or not self._is_rest_in_socket():
            return None
        assert self._connection.exchange is not None
        assert self._decoder is not None
        try:
            intake = make_intake(self._poller, self._connection.stream, self._decoder)
        except OSError:
            # No descriptor left: the plain way needs none.
            return None
        self._connection.stream.pause()
        self._connection.state = Reading.PUMPED
        return Takeover(self._connection, intake, self._connection.exchange.take_unread())

    def _is_rest_in_socket(self) -> bool:
        connection = self._connection
        if connection.state is not Reading.BODY:
            return False
        # What is delivered for this may be the body's end, or none.
        return connection.stream.settle() and connection.state is Reading.BODY

    def take_back(self, rest: bytes | None) -> None:
        """Go on after a pump; ``rest`` came after the body's end, None where that was not reached."""
        if self._connection.state is not Reading.PUMPED:
            return
        if rest is None:
            # What still comes is dropped: a client that reads only when it has sent all gets to its answer.
            self._connection.state = Reading.REFUSED
            self._connection.stream.resume()
            return
        assert self._connection.exchange is not None
        if len(rest) > MOST_BEHIND and self._connection.held_by_all + len(rest) > MOST_BEHIND_ALL:
            # Kept for each upload that waits for its answer it would be a gigabyte. The answer says that the
            # connection ends with it, and whoever asked on can ask anew.
            self._connection.state, rest = Reading.REFUSED, b""
        else:
            self._connection.state = Reading.AFTER
        self._connection.held = rest
        self._connection.exchange.add_body([], ended=True)
        self._connection.exchange.end_was_told()
        if len(rest) <= MOST_PIPELINED:
            self._connection.stream.resume()


def _seems_whole(held: bytes, framing: Framing) -> bool:
    """Whether a body looks as if all of it had come with its head, so that there is nothing to hold back."""
    return held.endswith(LAST_CHUNK) if framing.length is None else len(held) >= framing.length


def _decoder(framing: Framing) -> BodyDecoder:
    if framing.kind is BodyKind.CHUNKED:
        return ChunkedDecoder()
    assert framing.length is not None
    return LengthDecoder(framing.length)
