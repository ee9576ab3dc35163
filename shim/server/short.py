"""A request on the short way: sent already, and its answer waited for without a task (docs/decisions/0032).

Stands where an ``Exchange`` would, and becomes one as soon as anything is not as it is with most: then the
application is run, and goes on with what was begun.
"""

from typing import TYPE_CHECKING

from shim.asgi import Fields, ShortWay, UnderWay
from shim.server.exchange import Exchange
from shim.server.outgoing import OutgoingAnswer
from shim.timing import Seconds
from shim.wire.http1 import RequestHead

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

# An answer that takes longer is waited for by a task: what that costs is nothing beside it.
PATIENCE: Seconds = 1.0


class ShortExchange:
    """One request and its answer, as long as it is on the short way; a ``ShortClient``."""

    __slots__ = ("_connection", "_request", "_under_way", "answer")

    def __init__(self, connection: "ClientConnection", request: RequestHead) -> None:
        self._connection = connection
        self._request = request
        self._under_way: UnderWay | None = None
        self.answer = OutgoingAnswer(connection, request, keep_alive=True)

    def begin(self, way: ShortWay) -> bool:
        """Have the request sent; False where it has to go the ordinary way."""
        method, target, _, headers = self._request
        self._under_way = way.begin(method, target, headers, self._connection.stream.ends, self)
        return self._under_way is not None

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """The answer, whole."""
        self._connection.short = None
        self.answer.give(status, headers, body)

    def go_on(self) -> None:
        """Run the application for the rest of it."""
        under_way = self._under_way
        assert under_way is not None
        self._connection.short = None
        exchange = Exchange(
            self._connection, self._request, body_ended=True, answer=self.answer, under_way=under_way
        )
        task = self._connection.run(exchange)
        # One that is cancelled before its first step never runs.
        task.add_done_callback(lambda _task: under_way.give_up())
