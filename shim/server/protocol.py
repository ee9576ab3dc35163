"""The client's connection: reads heads, runs one exchange after another, and ends without losing an answer.

Stands in for uvicorn's protocol class (pinned exactly). How bodies are read is ``request_body``'s.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate
from shim.errors import HeaderTimeout, ShimError
from shim.poller import Poller
from shim.server.attendance import Attendance
from shim.server.connection_options import ConnectionOptions
from shim.server.connection_waits import ConnectionWaits
from shim.server.exchange import Exchange
from shim.server.outgoing import Answering, OutgoingAnswer
from shim.server.reading import MOST_PIPELINED, Reading
from shim.server.request_body import RequestBody
from shim.server.request_heads import RequestHeads
from shim.server.short import PATIENCE, ShortExchange
from shim.server.stream import ClientStream
from shim.short_way import short_way_of
from shim.wire.framing import request_framing
from shim.wire.http1 import RequestHead
from shim.wire.proxy_protocol import ProxyHeader

# What is shown for a request whose head could not be read.
_NO_HEAD = RequestHead("-", b"-", "1.1", ())


class ClientConnection(asyncio.Protocol):
    """One client connection; a sequence of exchanges, one at a time.

    Attributes:
        state: What the next bytes of the client are.
        held: Bytes that have come, and are nobody's yet.
        body: Of the request under way.
        exchange: The request under way; None between two.
        short: The same on the short way.
    """

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
        proxy_header: ProxyHeader | None = None,
        gate: ConnectionGate | None = None,
    ) -> None:
        """Take what uvicorn gives each connection, our options, and the fast ways (None: none).

        ``poller`` reads bodies into files, ``relays`` moves answers: no stalled disk holds those up.
        ``proxy_header`` says who the client is, in place of the connection's other end;
        ``gate`` counts the connection.
        """
        self.options = options
        self.relays = relays
        self._attendance = Attendance(self, server_state, gate or ConnectionGate())
        self._is_last = False
        self._proxy_header = proxy_header
        self.loop = _loop or asyncio.get_running_loop()
        self.application = config.loaded_app
        self.server_state = server_state
        self.app_state = app_state
        self.state = Reading.HEAD
        # Set by connection_made, which the loop calls before anything else.
        self.stream: ClientStream = None  # type: ignore[assignment]
        # A fast path is an offer: of an application that makes none each request is run.
        self._heads = RequestHeads(self.options.max_head, short_way_of(self.application))
        self.held = b""
        self.body = RequestBody(self, poller)
        self.exchange: Exchange | None = None
        self.short: ShortExchange | None = None
        self._waits = ConnectionWaits(self.loop, self.options, self._give_up_head)

    def __repr__(self) -> str:
        return f"<ClientConnection {self.state.value}, {len(self.held)} bytes held>"

    # -- the transport's calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        # uvloop's transports are not asyncio.Transport, they only behave so.
        self.stream = ClientStream(transport, self.options.answer, proxy_header=self._proxy_header)
        client = self.stream.ends["client"]
        refusal = self._attendance.begin(client[0] if client else None)
        if refusal is None:
            self._waits.for_head()
        elif self._attendance.has_place:
            self._refuse(_NO_HEAD, refusal)
        else:
            # An answer, and the time to read it, are not for a flood.
            self.stream.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes according to the state."""
        match self.state:
            case Reading.HEAD:
                self._read_head(data)
            case Reading.BODY:
                self.body.feed(data)
            case Reading.HELD | Reading.AFTER:
                self.held += data
                self.hold_back()
            case _:
                # Refused or lingering: read only so that the client can go on to read its answer.
                return

    def eof_received(self) -> None:
        """The client will send no more: it is taken for gone (returning None closes the transport)."""
        answer = self._answer
        if answer is not None and not answer.is_complete:
            # Closed, the transport would wait until the client has read what was written: perhaps never. And
            # one that has closed its own side alone may read on, and must not take what it gets for all.
            answer.cut()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's name
        """The connection is over."""
        self.state = Reading.CLOSED
        self._waits.close()
        self.stream.release_writing()
        self._attendance.end()
        if self.short is not None:
            # The application logs and counts how it ended.
            self.short.go_on()
        if self.exchange is not None:
            self.exchange.disconnect()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self.stream.hold_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.stream.release_writing()
        if self.state is Reading.AFTER and self._answer is None:
            self.next_request()

    def shutdown(self) -> None:
        """The server drains (called by uvicorn): end after the answer under way."""
        answer = self._answer
        if answer is not None:
            answer.keep_alive = False
            if self.short is not None:
                # As a task it can be cut off when the time for draining is over.
                self.short.go_on()
        elif self.state in (Reading.HEAD, Reading.AFTER) and len(self._heads) == 0:
            self.stream.close()

    def give_up(self) -> None:
        """The process ends: a client that has not taken all of its answer by now is to see that."""
        if self.stream.has_unsent:
            self.stream.reset()

    def retire(self) -> None:
        """Another process takes new connections now: the answer under way, or else the next, is the last."""
        self._is_last = True
        # One that has begun promises that the connection stays: a request sent on that word would be lost.
        answer = self._answer
        if answer is not None and answer.progress is Answering.NOT_BEGUN:
            answer.keep_alive = False

    @property
    def _answer(self) -> OutgoingAnswer | None:
        """The answer under way."""
        under_way = self.exchange or self.short
        return None if under_way is None else under_way.answer

    # -- heads ------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> None:
        begins = len(self._heads) == 0
        try:
            request = self._heads.read(data)
        except ShimError as refusal:
            self._refuse(_NO_HEAD, refusal)
            return
        if request is not None:
            self._begin(request)
            self.hold_back()
        elif begins:
            self._waits.for_head()

    def _begin(self, request: RequestHead) -> None:
        try:
            framing = request_framing(request.http_version, request.headers)
        except ShimError as refusal:
            self._refuse(request, refusal)
            return
        self.held = self._heads.take_rest()
        if framing.has_body:
            # From here on nothing is read until the application asks for the body: the whole of
            # admission happens while the client still holds its bytes.
            self.body.hold(framing)
        else:
            self.state = Reading.AFTER
        terms = None if self._is_last else self._heads.terms(request, framing, self.stream.ends)
        if terms is None:
            self.run(Exchange(self, request, body_ended=not framing.has_body))
            return
        short = ShortExchange(self, request, framing)
        if short.begin(terms):
            self.short = short
            self._waits.for_answer(PATIENCE, short.go_on)
        else:
            self.run(short.exchange())

    def refuse(self, refusal: ShimError) -> None:
        """Answer a new connection without reading what it says: it cannot be a request."""
        if self.state is Reading.HEAD:
            self._refuse(_NO_HEAD, refusal)

    def _refuse(self, request: RequestHead, refusal: ShimError) -> None:
        """Let the application answer a head that is not to be served."""
        self.state = Reading.REFUSED
        self._heads.take_rest()
        self.stream.pause()
        self.run(Exchange(self, request, body_ended=True, refusal=refusal))

    def run(self, exchange: Exchange) -> asyncio.Task[None]:
        """Run the application for a request."""
        self._waits.stop()
        self.exchange = exchange
        if self._is_last:
            exchange.answer.keep_alive = False
        task = self.loop.create_task(exchange.run(self.application))
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)
        return task

    def _give_up_head(self) -> None:
        """It was waited for long enough."""
        if len(self._heads) == 0:
            # Nothing was asked, so nothing is answered: a spare connection of a browser, say.
            self.stream.close()
            return
        limit = self.options.header_timeout
        self._refuse(_NO_HEAD, HeaderTimeout(f"The request head did not arrive within {limit:g} s."))

    # -- ends -------------------------------------------------------------------------------------

    @property
    def is_request_read(self) -> bool:
        """Whether the request was read to its end, so that another may follow."""
        return self.state is Reading.AFTER

    @property
    def held_by_all(self) -> int:
        """Bytes that are nobody's yet, of all connections of this process; it asks each of them."""
        connections = self.server_state.connections
        return sum(len(each.held) for each in connections if isinstance(each, ClientConnection))

    def next_request(self) -> None:
        """The answer is complete and the connection stays: read the next head."""
        self.exchange = None
        self._waits.for_next_request(self.stream)
        # A client that asks on and takes nothing would have all answers kept here: megabytes for each
        # packet of requests. What it has asked waits, at most ``MOST_PIPELINED``, until it has caught up.
        if not self.stream.is_writable:
            return
        self.state = Reading.HEAD
        held, self.held = self.held, b""
        self.stream.resume()
        if held:
            self._read_head(held)

    def hold_back(self) -> None:
        """Read no more of a client that has asked for enough already, until it has its answers.

        Looked at wherever reading goes on, too: each small request taken would let in another full read.
        """
        if len(self.held) > MOST_PIPELINED and self.state in (Reading.HELD, Reading.AFTER):
            self.stream.pause()

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
        self.held = b""
        self.stream.half_close()
        self._waits.for_end(self.stream)
        self.stream.resume()
