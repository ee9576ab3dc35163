"""The client's connection: reads a head, holds the body back until it is asked for, then decodes it.

Stands in for uvicorn's protocol class (pinned exactly). Because the body is held, everything that is
decided before the application's first ``receive()`` is decided before a byte of it, and before a 100.
"""

import asyncio
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate, Place
from shim.admission.limits import AnswerPace
from shim.errors import BadFraming, HeaderTimeout, ShimError
from shim.poller import Poller
from shim.server.exchange import Answering, Exchange
from shim.server.stream import ClientStream
from shim.server.takeover import Takeover
from shim.server.tls_pump import make_intake
from shim.timing import Alarm, Seconds
from shim.wire.chunked import LAST_CHUNK, BodyDecoder, ChunkedDecoder, LengthDecoder
from shim.wire.framing import BodyKind, Framing, request_framing
from shim.wire.http1 import HeadBuffer, RequestHead, parse_request_head
from shim.wire.proxy_protocol import ProxyHeader

# Decoded bytes waiting for the application; beyond it the client is held back.
# (uvloop reads 250 KB at a time: after one such read nothing more comes unasked for.)
HIGH_WATER = 192 * 1024
# Bytes of following requests kept while an answer is under way.
MOST_PIPELINED = 64 * 1024
# What is taken of a body in one read of our own: a small body with its chunks' lines.
READ_AT_ONCE = 128 * 1024
# How often at most a client is looked at that takes the rest of its answer.
LEAST_LOOK: Seconds = 1.0
# What is shown for a request whose head could not be read.
_NO_HEAD = RequestHead("-", b"-", "1.1", ())


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Limits of client connections; times in seconds (``limits.*``, ``timeouts.*``)."""

    max_head: int = 64 * 1024
    header_timeout: Seconds = 30.0
    keepalive_timeout: Seconds = 75.0
    linger_timeout: Seconds = 30.0
    answer: AnswerPace = field(default_factory=AnswerPace)


class Reading(enum.Enum):
    """What the next bytes of the client are."""

    HEAD = "head"
    HELD = "held"  # a body that nobody has asked for yet
    BODY = "body"
    PUMPED = "pumped"  # the body again, but read by a pump
    AFTER = "after"  # later requests, kept until the answer is done
    REFUSED = "refused"  # of no interest any more; the answer is under way
    LINGER = "linger"  # read and thrown away until the client has read the answer
    CLOSED = "closed"


class ClientConnection(asyncio.Protocol):
    """One client connection; a sequence of exchanges, one at a time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        options: ConnectionOptions,
        poller: Poller | None = None,
        relays: Poller | None = None,
        named: ProxyHeader | None = None,
        gate: ConnectionGate | None = None,
    ) -> None:
        """Take what uvicorn gives each connection, our options, and the fast ways (None: none).

        ``poller`` reads bodies into files, ``relays`` moves answers: no stalled disk holds those up.
        ``named`` is whom a PROXY header says the client to be, in place of the connection's other end;
        ``gate`` counts the connection.
        """
        self.options = options
        self.relays = relays
        self._gate = gate or ConnectionGate()
        self._place: Place | None = None
        self._is_last = False
        self._poller = poller
        self._named = named
        self.loop = _loop or asyncio.get_running_loop()
        self.application = config.loaded_app
        self.server_state = server_state
        self.app_state = app_state
        self.state = Reading.HEAD
        # Set by connection_made, which the loop calls before anything else.
        self.stream: ClientStream = None  # type: ignore[assignment]
        self._head = HeadBuffer(self.options.max_head)
        self._held = b""
        self._framing: Framing | None = None
        self._decoder: BodyDecoder | None = None
        self._exchange: Exchange | None = None
        # One is enough: a connection waits for a head, or for its end, never for both.
        self._alarm = Alarm(self.loop)

    def __repr__(self) -> str:
        return f"<ClientConnection {self.state.value}, {len(self._held)} bytes held>"

    # -- the transport's calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        # uvloop's transports are not asyncio.Transport, they only behave so.
        self.stream = ClientStream(transport, self.options.answer, named=self._named)
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        client = self.stream.ends["client"]
        address = client[0] if client else None
        try:
            self._place = self._gate.admit(address)
        except ShimError as refusal:
            self._place = self._gate.admit_guest()
            if self._place is None:
                # An answer, and the time to read it, are not for a flood.
                self.stream.abort()
            else:
                self._refuse(_NO_HEAD, refusal)
            return
        self._alarm.set(self.options.header_timeout, self._header_timeout)

    def data_received(self, data: bytes) -> None:
        """Take bytes according to the state."""
        match self.state:
            case Reading.HEAD:
                self._read_head(data)
            case Reading.BODY:
                self._read_body(data)
            case Reading.HELD | Reading.AFTER:
                self._held += data
                if len(self._held) > MOST_PIPELINED:
                    self.stream.pause()
            case _:
                # Refused or lingering: read only so that the client can go on to read its answer.
                return

    def eof_received(self) -> None:
        """The client will send no more: it is taken for gone (returning None closes the transport)."""
        if self._exchange is not None and self._exchange.answering is not Answering.COMPLETE:
            # Closed, the transport would wait until the client has read what was written: perhaps never. And
            # one that has closed its own side alone may read on, and must not take what it gets for all.
            self._exchange.cut()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's name
        """The connection is over."""
        self.state = Reading.CLOSED
        self._alarm.close()
        self.stream.release_writing()
        self.server_state.connections.discard(self)
        if self._place is not None:
            self._place.give_back()
        if self._exchange is not None:
            self._exchange.disconnect()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self.stream.hold_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.stream.release_writing()

    def shutdown(self) -> None:
        """The server drains (called by uvicorn): end after the answer under way."""
        if self.state is Reading.HEAD and len(self._head) == 0:
            self.stream.close()
        elif self._exchange is not None:
            self._exchange.keep_alive = False

    def give_up(self) -> None:
        """The process ends: a client that has not taken all of its answer by now is to see that."""
        if self.stream.has_unsent:
            self.stream.reset()

    def retire(self) -> None:
        """Another process takes new connections now: the answer under way, or else the next, is the last."""
        self._is_last = True
        if self._exchange is not None:
            self._exchange.keep_alive = False

    # -- heads ------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> None:
        begins = len(self._head) == 0
        try:
            head = self._head.feed(data)
            request = None if head is None else parse_request_head(head)
        except ShimError as refusal:
            self._refuse(_NO_HEAD, refusal)
            return
        if request is not None:
            self._begin(request)
        elif begins:
            self._alarm.set(self.options.header_timeout, self._header_timeout)

    def _begin(self, request: RequestHead) -> None:
        try:
            framing = request_framing(request.http_version, request.headers)
        except ShimError as refusal:
            self._refuse(request, refusal)
            return
        self._alarm.stop()
        self._held = self._head.take_rest()
        self._framing = framing
        if framing.has_body:
            # From here on nothing is read until the application asks for the body: the whole of
            # admission happens while the client still holds its bytes.
            self.state = Reading.HELD
            if not _seems_whole(self._held, framing):
                self.stream.pause()
        else:
            self.state = Reading.AFTER
        self._run(Exchange(self, request, body_ended=not framing.has_body))

    def refuse(self, refusal: ShimError) -> None:
        """Answer a new connection without reading what it says: it cannot be a request."""
        if self.state is Reading.HEAD:
            self._refuse(_NO_HEAD, refusal)

    def _refuse(self, request: RequestHead, refusal: ShimError) -> None:
        """Let the application answer a head that is not to be served."""
        self._alarm.stop()
        self.state = Reading.REFUSED
        self._head.take_rest()
        self.stream.pause()
        self._run(Exchange(self, request, body_ended=True, refusal=refusal))

    def _run(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._is_last:
            exchange.keep_alive = False
        task = self.loop.create_task(exchange.run(self.application))
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)

    def _keepalive_timeout(self) -> None:
        self._once_taken(self.options.keepalive_timeout, self._header_timeout)

    def _once_taken(self, waited: Seconds, end: Callable[[], None]) -> None:
        """End what was waited with for so long, but not as long as the last answer is on its way yet."""
        if not self.stream.is_waiting(waited):
            end()
            return
        # Both time-outs may be 0, which is no pace to look at.
        pause = max(waited, LEAST_LOOK)
        self._alarm.set(pause, functools.partial(self._once_taken, pause, end))

    def _header_timeout(self) -> None:
        if len(self._head) == 0:
            # Nothing was asked, so nothing is answered: a spare connection of a browser, say.
            self.stream.close()
            return
        limit = self.options.header_timeout
        self._refuse(_NO_HEAD, HeaderTimeout(f"The request head did not arrive within {limit:g} s."))

    # -- bodies, for the exchange -----------------------------------------------------------------

    @property
    def is_request_read(self) -> bool:
        """Whether the request was read to its end, so that another may follow."""
        return self.state is Reading.AFTER

    @property
    def to_come(self) -> int:
        """Bytes of the body that are known to come yet."""
        return 0 if self._decoder is None else self._decoder.left

    def ask_for_body(self, *, expects_continue: bool) -> None:
        """Begin to take the body; the client is told to go on where it waits for that."""
        if self.state is not Reading.HELD:
            return
        assert self._framing is not None
        if expects_continue and not self._held:
            self.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.state = Reading.BODY
        self._decoder = _decoder(self._framing)
        held, self._held = self._held, b""
        if held:
            self._read_body(held)
        if self.state is not Reading.REFUSED:
            self.stream.resume()

    def read_body(self) -> None:
        """Go on where enough of the body had come for the moment."""
        if self.state is Reading.BODY:
            self.stream.resume()

    def _read_body(self, data: bytes) -> None:
        assert self._decoder is not None
        assert self._exchange is not None
        try:
            decoded = self._decoder.decode(memoryview(data))
        except BadFraming as error:
            # Where this body ends cannot be known, so nothing behind it is ever taken for a request.
            self.state = Reading.REFUSED
            self.stream.pause()
            self._exchange.fail_body(error)
            return
        if decoded.ended:
            self.state = Reading.AFTER
            self._held = data[decoded.used :]
        buffered = self._exchange.add_body(decoded.payload, ended=decoded.ended)
        if buffered > HIGH_WATER and not decoded.ended:
            self.stream.pause()

    def read_now(self) -> None:
        """Take what waits in the socket: a body right behind its head then needs no turn of the loop.

        Only where fast ways are wanted: without them a body comes by the transport alone.
        """
        if self._poller is None or self.state is not Reading.BODY:
            return
        data = self.stream.read_now(READ_AT_ONCE)
        if data:
            self._read_body(data)

    def take_over(self) -> Takeover | None:
        """Let a pump read the rest of the body; None where it has ended, or only the loop can read it."""
        if self._poller is None or self.state is not Reading.BODY or not self._is_rest_in_socket():
            return None
        assert self._exchange is not None
        assert self._decoder is not None
        try:
            intake = make_intake(self._poller, self.stream, self._decoder)
        except OSError:
            # No descriptor left: the plain way needs none.
            return None
        self.stream.pause()
        self.state = Reading.PUMPED
        return Takeover(self, intake, self._exchange.take_unread())

    def _is_rest_in_socket(self) -> bool:
        # What is delivered for this may be the body's end, or none.
        return self.stream.settle() and self.state is Reading.BODY

    def take_back(self, rest: bytes | None) -> None:
        """Go on after a pump; ``rest`` came after the body's end, None where that was not reached."""
        if self.state is not Reading.PUMPED:
            return
        if rest is None:
            # What still comes is dropped: a client that reads only when it has sent all gets to its answer.
            self.state = Reading.REFUSED
            self.stream.resume()
            return
        assert self._exchange is not None
        self.state, self._held = Reading.AFTER, rest
        self._exchange.add_body([], ended=True)
        self._exchange.end_was_told()
        if len(rest) <= MOST_PIPELINED:
            self.stream.resume()

    # -- ends -------------------------------------------------------------------------------------

    def next_request(self) -> None:
        """The answer is complete and the connection stays: read the next head."""
        self.state = Reading.HEAD
        self._exchange = None
        self._alarm.set(self.options.keepalive_timeout, self._keepalive_timeout)
        held, self._held = self._held, b""
        self.stream.resume()
        if held:
            self._read_head(held)

    def end(self) -> None:
        """The answer is complete and the connection goes, so that the client can read all of it.

        A close with bytes unread would become a reset, and destroy the answer on its way: so the
        sending side is closed at once, and the rest is read and thrown away for ``timeouts.linger``, or for
        as long as a slow client takes.
        """
        if self.state is Reading.CLOSED:
            return
        if not self.stream.can_half_close:
            self.stream.close()
            return
        # Also where the request was read to its end: what comes after it would be answered by a reset.
        self.state = Reading.LINGER
        self._held = b""
        self.stream.half_close()
        self._alarm.set(self.options.linger_timeout, self._linger_timeout)
        self.stream.resume()

    def _linger_timeout(self) -> None:
        # What is left of the answer here would be lost, and one that ends with the connection look whole.
        self._once_taken(self.options.linger_timeout, self.stream.abort)

    def cut(self, *, with_reset: bool) -> None:
        """The answer cannot be completed: end it so that the client sees it.

        Args:
            with_reset: The answer's end is the connection's end, so that only a reset shows a cut.
        """
        if with_reset:
            self.stream.reset()
        else:
            self.stream.abort()


def _seems_whole(held: bytes, framing: Framing) -> bool:
    """Whether a body looks as if all of it had come with its head, so that there is nothing to hold back."""
    return held.endswith(LAST_CHUNK) if framing.length is None else len(held) >= framing.length


def _decoder(framing: Framing) -> BodyDecoder:
    if framing.kind is BodyKind.CHUNKED:
        return ChunkedDecoder()
    assert framing.length is not None
    return LengthDecoder(framing.length)
