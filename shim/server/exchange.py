"""One request and its answer on a client connection, as ASGI has it: scope and ``receive()``.

An application that fails in the middle of an answer ends in a cut that the client sees, never in an answer
that looks whole; how that is written is ``outgoing``'s.
"""

import asyncio
import enum
import logging
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from shim.asgi import INBOUND, TO_COME, Application, Inbound, Message, Scope, UnderWay
from shim.errors import ShimError
from shim.server.outgoing import OutgoingAnswer
from shim.wire.headers import get_first
from shim.wire.http1 import RequestHead

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection

log = logging.getLogger("shim.server")


class BodyEnd(enum.Enum):
    """What is known of the end of a request's body."""

    OPEN = "open"  # more of the body may come
    REACHED = "reached"  # nothing more comes, and the application was not told so yet
    TOLD = "told"  # the application knows


class Exchange:
    """One request and its answer.

    Attributes:
        answer: What the client gets.
        under_way: What the short way has begun of it.
    """

    def __init__(
        self,
        connection: "ClientConnection",
        request: RequestHead,
        *,
        body_ended: bool,
        refusal: ShimError | None = None,
        answer: OutgoingAnswer | None = None,
        under_way: UnderWay | None = None,
    ) -> None:
        """Take the request; ``body_ended`` where it has no body, ``refusal`` where it is not to be served.

        Of one that was begun on the short way also its ``answer``, and what is ``under_way``.
        """
        self._connection = connection
        self._request = request
        self._refusal = refusal
        self._pieces: list[bytes | memoryview] = []
        self._buffered = 0
        self._body_end = BodyEnd.REACHED if body_ended else BodyEnd.OPEN
        self._body_error: ShimError | None = None
        # Made by who waits, for a request without a body, or with all of it here, waits for nothing.
        self._arrived: asyncio.Event | None = None
        self._on_leaving: Callable[[], None] | None = None
        self.under_way = under_way
        self.answer = answer or OutgoingAnswer(connection, request, keep_alive=refusal is None)

    async def run(self, application: Application) -> None:
        """Run the application to its end, and the connection after it."""
        try:
            await application(self._scope(), self.receive, self.answer.send)
        except ShimError:
            # Told and counted where it was raised; here it only means that the answer cannot go on.
            return
        except Exception:
            log.exception("The application failed")
        finally:
            # Also where it was cancelled, or ended too early.
            self.answer.cut()

    # -- the request ------------------------------------------------------------------------------

    def _scope(self) -> Scope:
        raw_path, _, query = self._request.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": self._request.http_version,
            "method": self._request.method,
            "path": _decoded(raw_path),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(self._request.headers),
            "state": self._connection.app_state.copy(),
            "extensions": {
                INBOUND: Inbound(
                    self._request.target,
                    self._refusal,
                    self._connection.body.take_over,
                    self.answer.move,
                    self.watch_client,
                    self.receive_now,
                    self.under_way,
                ),
                "http.response.early_hint": {},
            },
            **self._connection.stream.ends,
        }

    async def receive(self) -> Message:
        """The next part of the body, or the client's leaving; the first call asks the client for it.

        Raises:
            BadFraming: The body is malformed; only our own server says so, others disconnect.
        """
        if self.answer.is_complete:
            # As ASGI has it; and a body that the connection holds by now is the next request's.
            return {"type": "http.disconnect"}
        self._connection.body.ask(expects_continue=self._expects_continue)
        if not self._pieces and self._body_end is BodyEnd.OPEN:
            # Not when the last part was taken: whoever lets a pump go on wants no more of it here.
            self._connection.body.go_on()
        while not (
            self._pieces or self.answer.is_dropped or self._body_error or self._body_end is BodyEnd.REACHED
        ):
            if self._arrived is None or self._arrived.is_set():
                self._arrived = asyncio.Event()
            await self._arrived.wait()
        if self._body_error is not None:
            raise self._body_error
        if self.answer.is_dropped or self._body_end is BodyEnd.TOLD:
            return {"type": "http.disconnect"}
        message = self._take_body()
        # ASGI wants bytes, and nothing that looks like them.
        message["body"] = bytes(message["body"])
        return message

    def receive_now(self) -> Message | None:
        """What ``receive`` would give at once, None where it would wait or fail; an ``Inbound`` offer."""
        if self.answer.is_dropped or self._body_end is BodyEnd.TOLD or self.answer.is_complete:
            return None
        self._connection.body.ask(expects_continue=self._expects_continue)
        if not self._pieces and self._body_end is BodyEnd.OPEN:
            self._connection.body.read_now()
        if self._body_error is not None or (not self._pieces and self._body_end is BodyEnd.OPEN):
            return None
        return self._take_body()

    @property
    def _expects_continue(self) -> bool:
        expect = get_first(self._request.headers, b"expect")
        return expect is not None and self._request.http_version == "1.1"

    def _take_body(self) -> Message:
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._body_end is BodyEnd.OPEN:
            to_come = self._connection.body.to_come
            return {"type": "http.request", "body": body, "more_body": True, TO_COME: to_come}
        self._body_end = BodyEnd.TOLD
        return {"type": "http.request", "body": body, "more_body": False}

    def put_back(self, message: Message) -> None:
        """Take back what ``receive_now`` gave last: it is given again."""
        self._pieces.insert(0, message["body"])
        self._buffered += len(message["body"])
        if self._body_end is BodyEnd.TOLD:
            self._body_end = BodyEnd.REACHED

    def take_unread(self) -> bytes:
        """The part of the body that has come and was not received yet."""
        pieces, self._pieces, self._buffered = self._pieces, [], 0
        return b"".join(pieces)

    def end_was_told(self) -> None:
        """The application knows of the body's end without having received it."""
        self._body_end = BodyEnd.TOLD

    def add_body(self, pieces: list[memoryview], *, ended: bool) -> int:
        """Take decoded bytes; gives how many wait for the application."""
        if pieces:
            # Joined at once: a view costs two hundred bytes, and a client may send chunks of one.
            joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces.append(joined)
            self._buffered += len(joined)
        if ended:
            self._body_end = BodyEnd.REACHED
        self._tell_receiver()
        return self._buffered

    def _tell_receiver(self) -> None:
        if self._arrived is not None:
            self._arrived.set()

    def fail_body(self, error: ShimError) -> None:
        """The body is malformed."""
        self._body_error = error
        self._tell_receiver()

    def disconnect(self) -> None:
        """The client has gone."""
        self.answer.is_dropped = True
        self._tell_receiver()
        if self._on_leaving is not None:
            self._on_leaving()

    def watch_client(self, on_leaving: Callable[[], None] | None) -> None:
        """Call back when the client leaves, now if it has left; an ``Inbound`` offer."""
        self._on_leaving = on_leaving
        if self.answer.is_dropped and on_leaving is not None:
            on_leaving()


def _decoded(raw_path: bytes) -> str:
    """The path as ASGI has it; a target is ASCII, so where nothing is escaped there is nothing to be done."""
    if b"%" not in raw_path:
        return raw_path.decode("ascii")
    return urllib.parse.unquote_to_bytes(raw_path).decode("utf-8", "replace")
