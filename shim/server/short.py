"""A request on the short way: sent already, and its answer waited for without a task (docs/decisions/0032).

Stands where an ``Exchange`` would, and becomes one as soon as anything is not as it is with most: then the
application is run, and goes on with what was begun.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from shim.asgi import Fields, ShortTerms, ShortWay, UnderWay
from shim.server.exchange import Exchange
from shim.server.outgoing import OutgoingAnswer
from shim.timing import Seconds
from shim.wire.http1 import RequestHead
from shim.wire.known_fields import KnownFields

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

    def begin(self, terms: ShortTerms) -> bool:
        """Have the request sent; False where it has to go the ordinary way."""
        self._under_way = terms.begin(self._request.method, self._request.target, self)
        return self._under_way is not None

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """The answer, whole."""
        self._connection.short = None
        self.answer.give(status, headers, body)

    def go_on(self) -> None:
        """Run the application for the rest of it."""
        under_way = self._under_way
        assert under_way is not None
        # Before the application's first step something may come that it is to find.
        under_way.stop()
        self._connection.short = None
        exchange = Exchange(
            self._connection, self._request, body_ended=True, answer=self.answer, under_way=under_way
        )
        task = self._connection.run(exchange)
        # One that is cancelled before its first step never runs.
        task.add_done_callback(lambda _task: under_way.give_up())


class Regular(NamedTuple):
    """What is known of a connection's next request, if its fields are those of the last one."""

    fields: KnownFields
    terms: ShortTerms

    def read(self, data: bytes) -> RequestHead | None:
        """The request whose head these bytes are, if they are one with these fields."""
        return self.fields.read(data)


def regular_of(way: ShortWay, head: bytes, request: RequestHead, ends: Mapping[str, Any]) -> Regular | None:
    """What a request leaves for the next one; None where it is none for the short way."""
    fields = KnownFields.of(head, request)
    terms = None if fields is None else way.terms(request.headers, ends)
    return None if fields is None or terms is None else Regular(fields, terms)
