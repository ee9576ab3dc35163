"""One request in one server: which connection it goes on, and what becomes of the connection at the end.

A connection that has been idle may be closed by the server at the very moment it is used, so only a request
that may be repeated goes on one, and then on a new one where that has happened; a body, or a POST, always
gets a connection of its own. Whether another server is tried is decided further up (``passage``).
"""

from types import TracebackType
from typing import TYPE_CHECKING

from shim.errors import UpstreamClosed
from shim.observe.journal import Phase
from shim.upstream.address import Protocol
from shim.upstream.answer import Interim
from shim.upstream.connection import Connection, EnterPhase
from shim.upstream.handoff import Offer
from shim.upstream.message import UpstreamRequest
from shim.upstream.network import NetworkStream
from shim.upstream.response import ConnectionResponse
from shim.upstream.sent import SentRequest

if TYPE_CHECKING:
    from shim.upstream.pool import Server


class Attempt:
    """An ``async with`` block around the reading of an answer; its end keeps the connection, or closes it.

    A class, because every request passes through it: as a generator it took three times as long.
    """

    # Of ``__aenter__``.
    _connection: Connection
    _response: ConnectionResponse

    def __init__(
        self,
        server: "Server",
        request: UpstreamRequest,
        interim: Interim,
        enter: EnterPhase,
        sent: SentRequest | None,
    ) -> None:
        """Take what ``Server.exchange`` was given."""
        self._server = server
        self._request = request
        self._interim = interim
        self._enter = enter
        self._sent = sent

    async def __aenter__(self) -> ConnectionResponse:
        self._server.inflight += 1
        try:
            self._connection, self._response = await self._answer()
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

    async def _answer(self) -> tuple[Connection, ConnectionResponse]:
        """The answer's head, and the connection that its body is to be read from."""
        server, request, sent = self._server, self._request, self._sent
        if sent is not None:
            try:
                return sent.connection, await self._rest_of(sent)
            except UpstreamClosed:
                if sent.is_fresh or sent.connection.heard:
                    raise
                server.idle.learn_closing()
        # The server need not keep open a connection that we have no room for.
        keep_alive = server.address.protocol is Protocol.HTTP and server.idle.are_wanted
        # Encoded first: what does not fit the protocol must not cost a connection.
        head = request.encode_head(server.address.protocol, keep_alive=keep_alive)
        self._enter(Phase.CONNECT)
        if (
            server.has_usual_times(request)
            and request.is_repeatable
            and (idle := server.idle.take()) is not None
        ):
            try:
                return idle, await self._send_on(idle, head, keep_alive=keep_alive)
            except UpstreamClosed:
                # Closed under our hands: that was to be expected, and nobody needs to hear of it.
                if idle.heard:
                    raise
                server.idle.learn_closing()
                self._enter(Phase.CONNECT)
        timeouts = request.timeouts or server.timeouts
        stream = await server.connect(server.address, timeouts.connect)
        connection = Connection(stream, server.address, timeouts, clock=server.clock)
        file = request.body.fileno() if request.is_handed_off and request.body is not None else None
        if file is None:
            return connection, await self._send_on(connection, head, keep_alive=keep_alive)
        return connection, await self._hand_off_on(connection, stream, file, head, keep_alive=keep_alive)

    async def _hand_off_on(
        self, connection: Connection, stream: NetworkStream, file: int, head: bytes, *, keep_alive: bool
    ) -> ConnectionResponse:
        """Let the server open the body's file, where there is a way; else send it."""
        server, request = self._server, self._request
        try:
            async with server.hand_off.offer(file, stream) as offer:
                if offer is not None:
                    head = request.encode_head(
                        server.address.protocol, keep_alive=False, post_file=offer.path
                    )
                keep_alive &= offer is None
                return await self._send_on(connection, head, keep_alive=keep_alive, offer=offer)
        except BaseException:
            # Also where it came to no exchange: the file's name may be one too many for the head.
            connection.close()
            raise

    async def _send_on(
        self, connection: Connection, head: bytes, *, keep_alive: bool, offer: Offer | None = None
    ) -> ConnectionResponse:
        server = self._server
        # What was said to a server before it was found out is no longer held to.
        keep_alive &= server.keeps_alive
        try:
            response = await connection.exchange(
                self._request,
                head,
                keep_alive=keep_alive,
                offer=offer,
                interim=self._interim,
                enter=self._enter,
            )
        except BaseException:
            connection.close()
            raise
        server.drain_meter.add(*connection.drained)
        return response

    async def _rest_of(self, sent: SentRequest) -> ConnectionResponse:
        """Go on with what ``Server.send_now`` has begun."""
        try:
            return await sent.connection.rest_of_answer(
                self._request,
                sent.rest,
                keep_alive=sent.keep_alive and self._server.keeps_alive,
                interim=self._interim,
                enter=self._enter,
                waited=self._server.clock() - sent.at,
            )
        except BaseException:
            sent.connection.close()
            raise
