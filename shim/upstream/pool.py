"""One server's connections: which idle one may be used again, and for what.

A connection that has been idle may be closed by the server at the very moment it is used, so only a
request that may be repeated goes on one; a body, or a POST, always gets a connection of its own.
"""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from shim.errors import UpstreamClosed
from shim.observe.journal import Phase
from shim.timing import Clock, Seconds, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.answer import Interim
from shim.upstream.connection import Connection, EnterPhase
from shim.upstream.drain_rate import DrainRate
from shim.upstream.handoff import HandOff, Offer, Way
from shim.upstream.idle import IdleConnections
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.network import NetworkStream, connect, connect_now
from shim.upstream.response import Response
from shim.upstream.sent import Sent

Connect = Callable[[UpstreamAddress, Seconds], Awaitable[NetworkStream]]
ConnectNow = Callable[[UpstreamAddress], NetworkStream | None]

# A server that has less time for an answer is waited for by who keeps an exact eye on it.
LEAST_RESPONSE: Seconds = 5.0


class Server:
    """One server of an upstream: its address, its idle connections, and what was learnt about it.

    Attributes:
        inflight: Requests that it has not done with.
        idle: Connections that may be used again.
    """

    def __init__(
        self,
        address: UpstreamAddress,
        timeouts: UpstreamTimeouts,
        *,
        connect: Connect = connect,
        connect_now: ConnectNow = connect_now,
        directory: Path | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take where it is, and how to reach it.

        Args:
            address: Its address.
            timeouts: How long it may take.
            connect: Opens a connection to it.
            connect_now: Does so without a wait, or not at all.
            directory: The spool, where it may open bodies that are handed off (None: it cannot).
            clock: Tells the time.
        """
        self.address = address
        self.inflight = 0
        self._timeouts = timeouts
        self._connect = connect
        self._connect_now = connect_now
        self._clock = clock
        self.idle = IdleConnections(clock)
        self._drain = DrainRate()
        self._handoff = HandOff(address, directory, clock=clock)

    def __repr__(self) -> str:
        return f"<Server {self.address}, {self.inflight} in flight, {len(self.idle)} idle>"

    @property
    def keeps_alive(self) -> bool:
        """Whether idle connections to it are worth keeping."""
        return self.address.protocol is Protocol.HTTP and self.idle.are_kept

    @property
    def drain_rate(self) -> float | None:
        """Bytes per second in which it takes bodies, None before the first large one."""
        return self._drain.value

    @property
    def hand_off_way(self) -> Way:
        """How it gets at spool files, as far as is known."""
        return self._handoff.way

    def send_now(self, request: UpstreamRequest) -> Sent | None:
        """Send a small request, where there is a connection for it without a wait; else None.

        Raises:
            HeadTooLarge: The request does not fit the server's protocol.
        """
        # The silence within an answer begins anew where its connection changes hands.
        least = min(self._timeouts.response_for(None), self._timeouts.response_idle)
        is_exact = least < LEAST_RESPONSE
        if self.address.tls or is_exact or not self._is_ordinary(request):
            return None
        keep_alive = self.address.protocol is Protocol.HTTP and self.idle.are_wanted
        head = request.encode_head(self.address.protocol, keep_alive=keep_alive)
        idle = self.idle.take() if request.is_repeatable else None
        connection = idle or self._open_now()
        if connection is None:
            return None
        rest = connection.send_now(head, request.body)
        self.inflight += 1
        return Sent(self, connection, keep_alive, idle is None, self._clock(), rest)

    def _open_now(self) -> Connection | None:
        stream = self._connect_now(self.address)
        return None if stream is None else Connection(stream, self.address, self._timeouts, clock=self._clock)

    def exchange(
        self, request: UpstreamRequest, *, interim: Interim, enter: EnterPhase, sent: Sent | None = None
    ) -> contextlib.AbstractAsyncContextManager[Response]:
        """Send a request to this server and give its answer; the connection is kept or closed at the end.

        Args:
            request: What to send.
            interim: Gets interim answers.
            enter: Told of each phase that it enters.
            sent: Where ``send_now`` has sent it already.

        Raises:
            UpstreamRefused, ConnectTimeout: Nothing was delivered.
            UpstreamFault: The exchange failed after that.
            HeadTooLarge: The request does not fit the server's protocol; nothing was sent.
        """
        return _Exchange(self, request, interim, enter, sent)

    async def close(self) -> None:
        """Close all idle connections."""
        self.idle.close()
        self._handoff.close()

    async def answer(
        self, request: UpstreamRequest, interim: Interim, enter: EnterPhase, sent: Sent | None = None
    ) -> tuple[Connection, Response]:
        """The answer's head, and the connection that its body is to be read from; for ``exchange``."""
        if sent is not None:
            try:
                return sent.connection, await self._rest_of(sent, request, interim, enter)
            except UpstreamClosed:
                if sent.is_fresh or sent.connection.heard:
                    raise
                self.idle.learn_closing()
        # For a connection that there will be no place for the server need not wait.
        keep_alive = self.address.protocol is Protocol.HTTP and self.idle.are_wanted
        # Encoded first: what does not fit the protocol must not cost a connection.
        head = request.encode_head(self.address.protocol, keep_alive=keep_alive)
        enter(Phase.CONNECT)
        if self._is_ordinary(request) and request.is_repeatable and (idle := self.idle.take()) is not None:
            try:
                return idle, await self._on(idle, request, head, interim, enter, keep_alive=keep_alive)
            except UpstreamClosed:
                # Closed under our hands: that was to be expected, and nobody needs to hear of it.
                if idle.heard:
                    raise
                self.idle.learn_closing()
                enter(Phase.CONNECT)
        timeouts = request.timeouts or self._timeouts
        stream = await self._connect(self.address, timeouts.connect)
        connection = Connection(stream, self.address, timeouts, clock=self._clock)
        file = request.body.fileno() if request.is_handed_off and request.body is not None else None
        if file is None:
            return connection, await self._on(
                connection, request, head, interim, enter, keep_alive=keep_alive
            )
        try:
            async with self._handoff.offer(file, stream) as offer:
                if offer is not None:
                    head = request.encode_head(self.address.protocol, keep_alive=False, post_file=offer.path)
                keep_alive &= offer is None
                return connection, await self._on(
                    connection, request, head, interim, enter, keep_alive=keep_alive, offer=offer
                )
        except BaseException:
            # Also where it came to no exchange: the file's name may be one too many for the head.
            connection.close()
            raise

    async def _on(
        self,
        connection: Connection,
        request: UpstreamRequest,
        head: bytes,
        interim: Interim,
        enter: EnterPhase,
        *,
        keep_alive: bool,
        offer: Offer | None = None,
    ) -> Response:
        # What was said to a server before it was found out is no longer held to.
        keep_alive &= self.keeps_alive
        try:
            response = await connection.exchange(
                request, head, keep_alive=keep_alive, offer=offer, interim=interim, enter=enter
            )
        except BaseException:
            connection.close()
            raise
        self._drain.add(*connection.drained)
        return response

    async def _rest_of(
        self, sent: Sent, request: UpstreamRequest, interim: Interim, enter: EnterPhase
    ) -> Response:
        try:
            return await sent.connection.rest_of_answer(
                request,
                sent.rest,
                keep_alive=sent.keep_alive and self.keeps_alive,
                interim=interim,
                enter=enter,
                waited=self._clock() - sent.at,
            )
        except BaseException:
            sent.connection.close()
            raise

    def _is_ordinary(self, request: UpstreamRequest) -> bool:
        """Whether it has no times of its own, which its connection would keep for whoever comes next."""
        return request.timeouts in (None, self._timeouts)

    def put_away(self, connection: Connection, response: Response, request: UpstreamRequest) -> None:
        """Keep a connection that is not needed now, or close it; for ``exchange``."""
        if response.leaves_connection_reusable and self._is_ordinary(request):
            self.idle.put(connection)
        else:
            connection.close()


class _Exchange:
    """One exchange with a server, as an ``async with`` block around the reading of its answer.

    A class, for it stands in the way of every request: as a generator it took three times as long.
    """

    def __init__(
        self,
        server: Server,
        request: UpstreamRequest,
        interim: Interim,
        enter: EnterPhase,
        sent: Sent | None,
    ) -> None:
        self._server = server
        self._request = request
        self._interim = interim
        self._enter = enter
        self._sent = sent

    async def __aenter__(self) -> Response:
        self._server.inflight += 1
        try:
            self._connection, self._response = await self._server.answer(
                self._request, self._interim, self._enter, self._sent
            )
        except BaseException:
            self._server.inflight -= 1
            raise
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._server.put_away(self._connection, self._response, self._request)
        finally:
            self._server.inflight -= 1
