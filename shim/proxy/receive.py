"""Fills a ``Body`` from the client, under the client's timeouts: over ASGI ``receive()``, or by a pump.

What fits into memory comes the plain way; what goes to a file comes by the server's pump where it offers
one. Time counts only while the shim waits for the client: what the disk takes is not the client's fault.
"""

import asyncio
import contextlib
from typing import TypeAlias

from shim.admission.gate import Ticket
from shim.admission.limits import BodyPace, RateFloor
from shim.asgi import BodyPump, Message, Receive, ReceiveNow, TakeOver
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

# How often a pump is looked at: as old as the numbers of the live view may be.
LOOK_ON: Seconds = 0.5

Filled: TypeAlias = tuple[bool, bytes]


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
        take_over: TakeOver | None = None,
        receive_now: ReceiveNow | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take the source, the sink, what is asked of the client, and the server's fast ways."""
        self.body = body
        self._receive = receive
        self._declared = declared
        self._pace = pace
        self._ticket = ticket
        self._record = record
        self._take_over = take_over
        self._receive_now = receive_now
        self._clock = clock
        self._floor = RateFloor(pace)
        self._waited: Seconds = 0.0  # in all
        self._quiet: Seconds = 0.0  # since the last byte
        self._waited_by_pump: Seconds = 0.0

    async def fill(self) -> None:
        """Receive the body to its end and seal it.

        Raises:
            ClientFault: It ended early, or came malformed, too slowly, or of another size than declared.
            LimitReached: It does not fit; nothing of it is kept.
        """
        try:
            while await self._take_part():
                # A fast path is an offer: who makes none is received from as before.
                if self.body.is_in_file and self._take_over and (pump := self._take_over()) is not None:
                    await self._fill_by(pump)
                    break
            self._check_length()
            await self.body.seal()
            self._record.length = self.body.received
        except ShimError as error:
            self.body.fail(error)
            raise

    async def _take_part(self) -> bool:
        """Take what the client sent next; whether more is to come."""
        message = await self._next()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection in the middle of the body.")
        await self._add(message.get("body", b""))
        return bool(message.get("more_body", False))

    async def _add(self, data: bytes) -> None:
        before = self.body.received
        size = before + len(data)
        if self._declared is not None and size > self._declared:
            raise SizeMismatch(f"The body is longer than the {self._declared} bytes that were declared.")
        if len(data) > self._ticket.room(before):
            await self._ticket.cover(size)
        await self.body.append(data)
        self._record.received = size

    def _check_length(self) -> None:
        if self._declared is not None and self.body.received != self._declared:
            raise SizeMismatch(
                f"The body has {self.body.received} bytes, but {self._declared} were declared."
            )

    # -- the fast way -----------------------------------------------------------------------------

    async def _fill_by(self, pump: contextlib.AbstractContextManager[BodyPump]) -> None:
        """Have the rest of the body written by a pump; what it has no room for goes through ``_add``."""
        with pump as source:
            ended = False
            while not ended:
                async with self.body.sink() as sink:
                    # Both limits are the loop's to judge: a pump stops where they may be crossed.
                    sink.room = int(min(sink.room, self._ticket.room(self.body.received)))
                    filling = asyncio.ensure_future(source.fill(sink))
                    ended, overflow = await self._watch(filling, source)
                if overflow:
                    await self._add(overflow)

    async def _watch(self, filling: asyncio.Future[Filled], source: BodyPump) -> Filled:
        """Judge the client's pace until the pump returns."""
        try:
            while not filling.done():
                await asyncio.wait({filling}, timeout=min(LOOK_ON, self._until_nearest_limit()))
                self._look_at(source)
                if not filling.done():
                    self._check_limits()
        except BaseException:
            # It writes into our file until it has really stopped.
            await cancel_and_wait(filling)
            raise
        return filling.result()

    def _look_at(self, source: BodyPump) -> None:
        waited, size = source.waited, self.body.received
        self._floor.add(waited - self._waited_by_pump, size - self._record.received)
        self._waited += waited - self._waited_by_pump
        self._quiet = source.quiet
        self._waited_by_pump, self._record.received = waited, size

    # -- waiting for the client -------------------------------------------------------------------

    async def _next(self) -> Message:
        # A fast path is an offer: for what is here already nobody is waited for, and no task is needed.
        if self._receive_now is not None and (message := self._receive_now()) is not None:
            self._quiet = 0.0
            self._floor.add(0.0, len(message.get("body", b"")))
            return message
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
        nearest = self._until_nearest_limit()
        await asyncio.wait({waiting}, timeout=None if nearest == UNLIMITED else nearest)
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

    def _until_nearest_limit(self) -> Seconds:
        nearest = min(
            self._pace.idle - self._quiet,
            self._pace.total - self._waited,
            self._floor.next_check,
        )
        return max(0.0, nearest)

    def _check_limits(self) -> None:
        if self._quiet >= self._pace.idle:
            raise BodyIdleTimeout(f"No byte of the body came for {self._pace.idle:g} s.")
        if self._waited >= self._pace.total:
            raise BodyTotalTimeout(f"The body took longer than {self._pace.total:g} s.")
