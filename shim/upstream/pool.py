"""One server of an upstream, and its connections: which are kept for later, and what was learnt about it.

A small request may be sent here without a wait; all others go by an ``Attempt``, which waits for a new
connection where none can be used again.
"""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from shim.timing import Clock, Seconds, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.answer import Interim
from shim.upstream.attempt import Attempt
from shim.upstream.connection import Connection, EnterPhase
from shim.upstream.drain_rate import DrainRate
from shim.upstream.handoff import HandOff, Way
from shim.upstream.idle import IdleConnections
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.network import NetworkStream, connect, connect_now
from shim.upstream.response import ConnectionResponse
from shim.upstream.sent import SentRequest

Connect = Callable[[UpstreamAddress, Seconds], Awaitable[NetworkStream]]
ConnectNow = Callable[[UpstreamAddress], NetworkStream | None]

# A limit below this goes the ordinary way, which keeps it exactly; the short way may pass it by a moment.
LEAST_RESPONSE: Seconds = 5.0


class Server:
    """One server of an upstream: its address, its idle connections, and what was learnt about it.

    Attributes:
        timeouts: How long it may take, where a request has no times of its own.
        inflight: Requests that it has not done with.
        idle: Connections that may be used again.
        drain_meter: How fast it takes bodies in.
        hand_off: How it gets at spool files, where it opens them itself.
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
        self.timeouts = timeouts
        self.connect = connect
        self._connect_now = connect_now
        self.clock = clock
        self.idle = IdleConnections(clock)
        self.drain_meter = DrainRate()
        self.hand_off = HandOff(address, directory, clock=clock)

    def __repr__(self) -> str:
        return f"<Server {self.address}, {self.inflight} in flight, {len(self.idle)} idle>"

    @property
    def keeps_alive(self) -> bool:
        """Whether idle connections to it are worth keeping."""
        return self.address.protocol is Protocol.HTTP and self.idle.are_kept

    @property
    def drain_rate(self) -> float | None:
        """Bytes per second in which it takes bodies, None before the first large one."""
        return self.drain_meter.value

    @property
    def hand_off_way(self) -> Way:
        """How it gets at spool files, as far as is known."""
        return self.hand_off.way

    def send_now(self, request: UpstreamRequest) -> SentRequest | None:
        """Send a small request, where there is a connection for it without a wait; else None.

        Raises:
            HeadTooLarge: The request does not fit the server's protocol.
        """
        # The silence within an answer begins anew where its connection changes hands.
        least = min(self.timeouts.response_for(None), self.timeouts.response_idle)
        is_exact = least < LEAST_RESPONSE
        if self.address.tls or is_exact or not self.has_usual_times(request):
            return None
        keep_alive = self.address.protocol is Protocol.HTTP and self.idle.are_wanted
        head = request.encode_head(self.address.protocol, keep_alive=keep_alive)
        idle = self.idle.take() if request.is_repeatable else None
        connection = idle or self._open_now()
        if connection is None:
            return None
        rest = connection.send_now(head, request.body)
        self.inflight += 1
        return SentRequest(self, connection, keep_alive, idle is None, self.clock(), rest)

    def _open_now(self) -> Connection | None:
        stream = self._connect_now(self.address)
        return None if stream is None else Connection(stream, self.address, self.timeouts, clock=self.clock)

    def exchange(
        self,
        request: UpstreamRequest,
        *,
        interim: Interim,
        enter: EnterPhase,
        sent: SentRequest | None = None,
    ) -> contextlib.AbstractAsyncContextManager[ConnectionResponse]:
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
        return Attempt(self, request, interim, enter, sent)

    # -- for whoever has a connection of it ---------------------------------------------------------

    def has_usual_times(self, request: UpstreamRequest) -> bool:
        """Whether it has no times of its own, which its connection would keep for whoever comes next."""
        return request.timeouts in (None, self.timeouts)

    def put_away(
        self, connection: Connection, response: ConnectionResponse, request: UpstreamRequest
    ) -> None:
        """Keep the connection of a request whose answer was taken, or close it."""
        if response.leaves_connection_reusable and self.has_usual_times(request):
            self.idle.put(connection)
        else:
            connection.close()

    async def close(self) -> None:
        """Close all idle connections."""
        self.idle.close()
        self.hand_off.close()
