"""Fills a ``Body`` from the client, under the client's timeouts; the plain way, over ASGI ``receive()``.

Time counts only while the shim waits for the client: what the disk takes is not the client's fault.
"""

import asyncio

from shim.admission.gate import Ticket
from shim.admission.limits import BodyPace, RateFloor
from shim.asgi import Message, Receive
from shim.errors import (
    BodyIdleTimeout,
    BodyTotalTimeout,
    ClientGone,
    ShimError,
    SizeMismatch,
)
from shim.observe.journal import Record
from shim.spool.body import Body
from shim.timing import UNLIMITED, Clock, Seconds, cancel_and_wait, monotonic


class BodyReceiver:
    """Takes one body from one client."""

    def __init__(
        self,
        receive: Receive,
        body: Body,
        *,
        declared: int | None,
        pace: BodyPace,
        ticket: Ticket,
        record: Record,
        clock: Clock = monotonic,
    ) -> None:
        """Take the source, the sink, and what is asked of the client."""
        self._receive = receive
        self._body = body
        self._declared = declared
        self._pace = pace
        self._ticket = ticket
        self._record = record
        self._clock = clock
        self._floor = RateFloor(pace)
        self._waited: Seconds = 0.0  # in all
        self._quiet: Seconds = 0.0  # since the last byte

    async def fill(self) -> None:
        """Receive the body to its end and seal it.

        Raises:
            ClientFault: It ended early, or came malformed, too slowly, or of another size than declared.
            LimitReached: It does not fit; nothing of it is kept.
        """
        try:
            while await self._take_part():
                pass
            self._check_length()
            await self._body.seal()
        except ShimError as error:
            self._body.fail(error)
            raise

    async def _take_part(self) -> bool:
        """Take what the client sent next; whether more is to come."""
        message = await self._next()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection in the middle of the body.")
        data: bytes = message.get("body", b"")
        size = self._body.received + len(data)
        if self._declared is not None and size > self._declared:
            raise SizeMismatch(f"The body is longer than the {self._declared} bytes that were declared.")
        self._ticket.cover(size)
        await self._body.append(data)
        self._record.received = size
        return bool(message.get("more_body", False))

    def _check_length(self) -> None:
        if self._declared is not None and self._body.received != self._declared:
            raise SizeMismatch(
                f"The body has {self._body.received} bytes, but {self._declared} were declared."
            )

    # -- waiting for the client -------------------------------------------------------------------

    async def _next(self) -> Message:
        waiting = asyncio.ensure_future(self._receive())
        try:
            while not waiting.done():
                await self._wait_a_turn(waiting)
        except BaseException:
            # Left behind, it would take the next message for a body that is over.
            await cancel_and_wait(waiting)
            raise
        message = self._outcome(waiting)
        if message.get("body"):
            self._quiet = 0.0
        return message

    async def _wait_a_turn(self, waiting: asyncio.Future[Message]) -> None:
        """Wait until the client sent something, or until the nearest of its limits is to be judged."""
        before = self._clock()
        await asyncio.wait({waiting}, timeout=self._until_nearest_limit())
        waited = self._clock() - before
        self._waited += waited
        self._quiet += waited
        size = self._received_by(waiting)
        self._floor.add(waited, size)
        if not waiting.done():
            self._check_limits()

    @staticmethod
    def _outcome(waiting: asyncio.Future[Message]) -> Message:
        try:
            return waiting.result()
        except OSError as error:
            # Other servers raise where ours tells; it is the client's line that broke, not our disk.
            raise ClientGone("The connection to the client broke in the middle of the body.") from error

    @staticmethod
    def _received_by(waiting: asyncio.Future[Message]) -> int:
        if not waiting.done() or waiting.exception() is not None:
            return 0
        return len(waiting.result().get("body", b""))

    def _until_nearest_limit(self) -> Seconds | None:
        nearest = min(
            self._pace.idle - self._quiet,
            self._pace.total - self._waited,
            self._floor.next_check,
        )
        return None if nearest == UNLIMITED else max(0.0, nearest)

    def _check_limits(self) -> None:
        if self._quiet >= self._pace.idle:
            raise BodyIdleTimeout(f"No byte of the body came for {self._pace.idle:g} s.")
        if self._waited >= self._pace.total:
            raise BodyTotalTimeout(f"The body took longer than {self._pace.total:g} s.")
