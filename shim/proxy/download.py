"""An answer's body on its way to the client: straight through, or by the spool where the client is slow.

Straight through a server waits for the client, and its slot is held as long. So a client that falls behind
gets what is left from an ``Overflow``, which the server fills at its own pace; then the server is done, and
its slot free, while the client still reads.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from shim.observe.journal import Record
from shim.proxy.lag import LOOK
from shim.proxy.request import Answer
from shim.proxy.taking import AnswerTaker
from shim.spool.overflow import STEP, Overflow
from shim.spool.store import Store
from shim.timing import Clock, Seconds, finish, monotonic
from shim.upstream.exchange import Response

# How long after the spool had no room it is asked again.
NEXT_ATTEMPT: Seconds = 5.0

Result = TypeVar("Result")
Pieces: TypeAlias = AsyncGenerator[bytes | memoryview, None]


class Download:
    """One body's way; an ``async with`` block, at whose end nothing of it is left.

    ``take`` returns when the server has done its part, ``finish`` when the client has everything.
    """

    _taker: AnswerTaker  # of ``take``

    def __init__(
        self, answer: Answer, record: Record, store: Store | None = None, *, clock: Clock = monotonic
    ) -> None:
        """Take whom it goes to, and where it may be spooled (None: nowhere)."""
        self._answer = answer
        self._record = record
        self._store = store
        self._clock = clock
        self._stack: contextlib.AsyncExitStack | None = None
        self._tasks: list[asyncio.Future[Any]] = []
        self._sending: asyncio.Future[bool] | None = None
        self._draining: asyncio.Future[None] | None = None
        self._is_stopped = False  # the sender is to end after its write, for the client fell behind
        self._held = b""  # what a faster way took from the server, and the client has not taken
        self._last = b""  # the whole body, where it came at once
        self._left: int | None = None  # bytes still with the server; None: it does not say

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._tasks:
                await self._end_tasks()
        finally:
            if self._stack is not None:
                # With what ended the block: the store names the disk in its faults.
                await self._stack.__aexit__(kind, error, trace)

    def keep(self, body: bytes) -> None:
        """Take a body that is whole already."""
        self._last = body

    async def take(self, response: Response) -> None:
        """Take the body from its server, and send of it what the client takes meanwhile.

        Raises:
            UpstreamFault: It broke off; what was sent of it must be cut.
            ClientTooSlow: The client took too little of it.
            LimitReached: The spool's disk failed.
        """
        self._left = response.framing.length
        # Not before: most answers are whole at once, and nobody has to be watched for these.
        self._taker = AnswerTaker(
            self._answer, self._record, self._clock, is_spoolable=self._store is not None
        )
        async with contextlib.aclosing(response.pieces()) as pieces:
            try:
                while not await self._send_directly(response, pieces):
                    overflow = await self._open_overflow()
                    if overflow is not None and await self._send_spooled(response, pieces, overflow):
                        return
            except BaseException:
                # Also without what is still in the spool: the answer is cut, so nothing is to be waited for.
                # Before the pieces are closed: nobody may be at work on them.
                await self._end_tasks()
                raise

    async def finish(self) -> None:
        """Send what the client has not taken yet, and the end; raises as ``take`` does."""
        if self._draining is not None:
            await asyncio.wait({self._draining})
            self._draining.result()
        self._record.sent += len(self._last)
        await self._answer.end(self._last)

    # -- straight through -------------------------------------------------------------------------

    async def _send_directly(self, response: Response, pieces: Pieces) -> bool:
        """Send on what comes as it comes; False where the client fell behind, with a write that may go on."""
        self._is_stopped = False
        self._sending = sending = self._start(self._relay(response, pieces))
        while not sending.done():
            await asyncio.wait({sending}, timeout=LOOK)
            # In the middle of a write: else the pieces are being read just now.
            if self._taker.is_under_way and self._taker.is_behind():
                self._is_stopped = True
                return False
        return sending.result()

    async def _relay(self, response: Response, pieces: Pieces) -> bool:
        if self._held:
            await self._send_held()
            if self._is_stopped or response.is_complete:
                return not self._is_stopped
        async for piece in pieces:
            self._count(len(piece))
            await self._taker.write(piece)
            if self._is_stopped:
                return False
            # A fast path is an offer: what is still in the upstream's socket need not come through here.
            if self._answer.move is None:
                continue
            movement = await response.lend(self._answer.move, self._taker.onlooker())
            if movement is not None:
                self._count(movement.taken)
                self._held = movement.held
                return response.is_complete and not self._held
        return True

    # -- by way of the spool ----------------------------------------------------------------------

    async def _open_overflow(self) -> Overflow | None:
        assert self._store is not None
        assert self._sending is not None
        room = self._store.overflow(self._left, project=self._record.project)
        if self._stack is None:
            self._stack = contextlib.AsyncExitStack()
        overflow = await self._stack.enter_async_context(room)
        if overflow is None:
            # Asked again every few seconds: nothing of it may stay until the end of a long answer.
            await self._stack.aclose()
            # Somebody else's bodies have all there is: the server waits for its client meanwhile. Nobody is
            # refused for it, since the answer has begun.
            self._taker.bear_with(NEXT_ATTEMPT)
            await asyncio.wait({self._sending})
            self._sending.result()
        return overflow

    async def _send_spooled(self, response: Response, pieces: Pieces, overflow: Overflow) -> bool:
        """Spool what comes, and send what is spooled; False where the client has caught up before the end."""
        assert self._sending is not None
        draining = self._start(self._drain(overflow, self._sending))
        filling = self._start(self._fill(response, pieces, overflow))
        both: set[asyncio.Future[Any]] = {draining, filling}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not filling.done():
            # It ends before there is an end only where it failed.
            draining.result()
            await asyncio.wait({filling})
        if filling.result():
            self._draining = draining
            return True
        await asyncio.wait({draining})
        draining.result()
        assert self._stack is not None
        await self._stack.aclose()
        self._taker.begin_anew()
        return False

    async def _fill(self, response: Response, pieces: Pieces, overflow: Overflow) -> bool:
        """Take from the server what it gives; whether that was all."""
        if not response.is_complete:
            async for piece in pieces:
                self._count(len(piece))
                await overflow.write(piece)
                if await self._pour(response, overflow):
                    break
                # Read by us is not taken by the client: who stands still on the last of it holds no server.
                if overflow.can_end and not self._taker.is_under_way:
                    await overflow.end()
                    return False
        await overflow.end()
        return True

    async def _pour(self, response: Response, overflow: Overflow) -> bool:
        """Have what comes written by a faster way; whether that was all.

        A fast path is an offer: what goes to a file anyway need not come through here. Nor by splice, which
        costs more into a file than a thread that reads and writes (measured, decision 20).
        """
        while self._left is not None and self._left >= STEP:
            async with overflow.sink(STEP) as sink:
                taken = None if sink is None else await response.pour(sink)
            if taken is None:
                break
            self._count(taken)
        return response.is_complete

    async def _drain(self, overflow: Overflow, sending: asyncio.Future[bool]) -> None:
        await asyncio.wait({sending})
        sending.result()
        await self._send_held()
        # No faster way back: its client is slow anyway (decision 20).
        while data := await overflow.read(STEP):
            await self._taker.write(data)

    # -- to the client ----------------------------------------------------------------------------

    async def _send_held(self) -> None:
        """Send what a faster way has left behind."""
        held, self._held = self._held, b""
        if held:
            await self._taker.write(held)

    def _count(self, taken: int) -> None:
        if self._left is not None:
            self._left -= taken

    # -- tasks ------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Future[Result]:
        task = asyncio.ensure_future(work)
        # Those that have ended were asked for their results; a slow client's answer takes many.
        self._tasks = [*(other for other in self._tasks if not other.done()), task]
        return task

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                # To their end, also when we are cancelled again: they use what is closed next.
                await finish(asyncio.wait(tasks))
        finally:
            for task in tasks:
                # Retrieved, else the loop complains of it; what mattered has been raised.
                if not task.cancelled():
                    task.exception()
