"""A request on the short way: sent already, and its answer waited for without a task (docs/decisions/0032).

Stands where an ``Exchange`` would, and becomes one as soon as anything is not as it is with most: then the
application is run, and goes on with what was begun.
"""

from typing import TYPE_CHECKING

from shim.asgi import Fields, Message, UnderWay
from shim.server.exchange import Exchange
from shim.server.outgoing import OutgoingAnswer
from shim.short_way import ShortTerms
from shim.timing import Seconds
from shim.wire.framing import Framing
from shim.wire.http1 import RequestHead

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

# An answer that takes longer is waited for by a task: what that costs is nothing beside it.
PATIENCE: Seconds = 1.0


class ShortExchange:
    """One request and its answer, as long as it is on the short way; a ``ShortClient``."""

    __slots__ = ("_connection", "_exchange", "_framing", "_request", "_taken", "_under_way", "answer")

    def __init__(self, connection: "ClientConnection", request: RequestHead, framing: Framing) -> None:
        self._connection = connection
        self._request = request
        self._framing = framing
        self._under_way: UnderWay | None = None
        self._exchange: Exchange | None = None
        self._taken: Message | None = None
        self.answer = OutgoingAnswer(connection, request, keep_alive=True)

    def begin(self, terms: ShortTerms) -> bool:
        """Have the request sent; False where it has to go the ordinary way, by ``exchange``."""
        framing = self._framing
        self._under_way = terms.begin(
            self._request.method,
            self._request.target,
            self,
            has_framing=framing.has_framing,
            length=framing.length,
        )
        if self._under_way is None:
            return False
        # With its body, if it had one, the exchange has done its part, until there is more to be done.
        self._connection.exchange = None
        return True

    def exchange(self) -> Exchange:
        """What runs the application for the request, with all that has come of it."""
        if self._exchange is None:
            self._exchange = Exchange(
                self._connection,
                self._request,
                body_ended=not self._framing.has_body,
                answer=self.answer,
                under_way=self._under_way,
            )
        elif self._taken is not None and self._under_way is None:
            self._exchange.put_back(self._taken)
        self._taken = None
        return self._exchange

    def body_now(self, most: int) -> bytes | None:
        """All of the body, where it is here."""
        if not self._framing.has_body:
            return b""
        # Whoever has a gigabyte to send is not asked for any of it before all is decided about it.
        if self._framing.length is None and not self._connection.body.seems_whole:
            return None
        # Bytes that come are its exchange's.
        self._connection.exchange = self._exchange = exchange = self.exchange()
        self._taken = message = exchange.receive_now()
        if message is None or message["more_body"] or len(message["body"]) > most:
            return None
        return bytes(message["body"])

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """The answer, whole."""
        self._end()
        try:
            self.answer.give(status, headers, body)
        finally:
            # As with an application that fails: what is not whole by now is cut, and the client sees it.
            self.answer.cut()

    def go_on(self) -> None:
        """Run the application for the rest of it; without effect where that is done already."""
        if self._connection.short is not self:
            return
        under_way = self._under_way
        assert under_way is not None
        # Before the application's first step something may come that it is to find.
        under_way.stop()
        exchange = self.exchange()
        exchange.under_way = under_way
        self._end()
        task = self._connection.run(exchange)
        # One that is cancelled before its first step never runs.
        task.add_done_callback(lambda _task: under_way.give_up())

    def _end(self) -> None:
        """Let go of all: in a ring with it bodies would stay until the collector comes by, 50 MiB of them."""
        self._connection.short = None
        self._under_way = self._exchange = self._taken = None
