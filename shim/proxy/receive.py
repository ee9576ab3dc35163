"""Fills a ``Body`` from the client, under the client's timeouts: over ASGI ``receive()``, or by a pump.

What fits into memory comes the plain way; what goes to a file comes by the server's pump where it offers
one. Time counts only while the shim waits for the client: what the disk takes is not the client's fault.
"""

import asyncio

from shim.admission.gate import Ticket
from shim.admission.limits import BodyPace, RateFloor
from shim.asgi import TO_COME, BodyPump, Message, Receive, ReceiveNow, TakeOver
from shim.errors import (
    BodyIdleTimeout,
    BodyTotalTimeout,
    ClientGone,
    ShimError,
    SizeMismatch,
)
from shim.observe.journal import Record
from shim.proxy.look import Filled, Look
from shim.spool.body import Body
from shim.spool.budget import LARGEST_STEP
from shim.timing import UNLIMITED, Clock, Seconds, cancel_and_wait, monotonic
from shim.wire.digest import BodyDigest

# Parts of a body that are here already, before others get their turn. One may be 128 KiB of tiny chunks, and
# twenty milliseconds' work: a client can have a dozen of them in the kernel.
TAKEN_IN_A_ROW = 2
# How often a pump is looked at: as old as the numbers of the live view may be.
LOOK_ON: Seconds = 0.5


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
        digest: BodyDigest | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take the source, the sink, what is asked of client and body, and the server's fast ways."""
        self.body = body
        self.body.digest = digest
        self._receive = receive
        self._declared = declared
        self._pace = pace
        self._ticket = ticket
        self._record = record
        self._take_over = take_over
        self._receive_now = receive_now
        self._taken_in_a_row = 0
        self._clock = clock
        self._floor = RateFloor(pace)
        self._waited: Seconds = 0.0  # in all
        self._quiet: Seconds = 0.0  # since the last byte
        self._waited_by_pump: Seconds = 0.0

    async def fill(self) -> None:
        """Receive the body to its end and seal it.

        Raises:
            ClientFault: It ended early, or came malformed, too slowly, or not of the size or digest declared.
            LimitReached: It does not fit; nothing of it is kept.
        """
        try:
            more = True
            while more:
                data, to_come, more = await self._take_part()
                # A fast path is an offer: without one the body is received as before.
                if more and self._take_over and self.body.outgrows_memory(len(data) + to_come):
                    # Taken before the disk is waited for, or the loop would read on meanwhile.
                    pump, self._take_over = self._take_over(), None
                    if pump is not None:
                        with pump as source:
                            await self._add(data, to_come)
                            # 128 KiB of each slow client would stay for as long as it sends.
                            del data
                            await self._fill_by(source)
                        break
                await self._add(data, to_come)
            self._check_length()
            # While it is not sealed no server has all of it, not even one that is sent it as it comes.
            self._check_digest()
            await self.body.seal()
            self._record.length = self.body.received
        except ShimError as error:
            self.body.fail(error)
            raise

    async def _take_part(self) -> tuple[bytes, int, bool]:
        """What the client sent next, how much is known to follow it, and whether the body goes on."""
        message = await self._next()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection in the middle of the body.")
        # As much as is leased at once, whatever a client announces: it may never send it.
        to_come = min(message.get(TO_COME, 0), LARGEST_STEP)
        return message.get("body", b""), to_come, bool(message.get("more_body", False))

    async def _add(self, data: bytes, to_come: int = 0) -> None:
        received = self.body.received
        size = received + len(data)
        if self._declared is not None and size > self._declared:
            raise SizeMismatch(f"The body is longer than the {self._declared} bytes that were declared.")
        # What is known to come counts already: no upload gets a file that has no ticket.
        if len(data) + to_come > self._ticket.room(received):
            await self._ticket.cover(size + to_come)
        await self.body.append(data, to_come=to_come)
        self._record.received = size

    def _check_length(self) -> None:
        if self._declared is not None and self.body.received != self._declared:
            raise SizeMismatch(
                f"The body has {self.body.received} bytes, but {self._declared} were declared."
            )

    def _check_digest(self) -> None:
        if self.body.digest is not None:
            self.body.digest.check()

    # -- the fast way -----------------------------------------------------------------------------

    async def _fill_by(self, source: BodyPump) -> None:
        """Have the rest written by a pump; what it has no room for goes through ``_add``."""
        ended = False
        while not ended:
            async with self.body.sink() as sink:
                # Both limits are the loop's to judge: a pump stops where they may be crossed.
                sink.room = int(min(sink.room, self._ticket.room(self.body.received)))
                filling = asyncio.ensure_future(source.fill(sink))
                ended, overflow = await self._watch(filling, source)
            if overflow:
                await self._add(overflow)
            del filling, overflow

    async def _watch(self, filling: asyncio.Future[Filled], source: BodyPump) -> Filled:
        """Judge the client's pace until the pump returns."""
        look = Look(lambda: self._judge(source), filling)
        look.again_in(self._until_next_look())
        try:
            await asyncio.wait({filling})
            self._look_at(source)
        except BaseException:
            # It writes into our file until it has really stopped.
            await cancel_and_wait(filling)
            raise
        finally:
            look.end()
        return look.outcome()

    def _judge(self, source: BodyPump) -> Seconds:
        """Raise where the client is too slow; else the seconds until the next look."""
        self._look_at(source)
        self._check_limits()
        return self._until_next_look()

    def _until_next_look(self) -> Seconds:
        return min(LOOK_ON, self._until_nearest_limit())

    def _look_at(self, source: BodyPump) -> None:
        waited, size = source.waited, self.body.received
        self._floor.add(waited - self._waited_by_pump, size - self._record.received)
        self._waited += waited - self._waited_by_pump
        self._quiet = source.quiet
        self._waited_by_pump, self._record.received = waited, size

    # -- waiting for the client -------------------------------------------------------------------

    async def _next(self) -> Message:
        # A fast path is an offer: for what is here already nobody is waited for, and no task is needed.
        if self._receive_now is not None:
            if self._taken_in_a_row >= TAKEN_IN_A_ROW:
                self._taken_in_a_row = 0
                await asyncio.sleep(0)
            if (message := self._receive_now()) is not None:
                self._taken_in_a_row += 1
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
