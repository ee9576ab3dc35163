"""Time as the rooms see it: units with names, a clock that can be replaced, and waits that end.

Whatever decides by time is told the time (``Clock``), so that it is tested without sleeping; whatever
waits does it under ``deadline``, so that every wait has an end and every end a name of its own.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import TypeAlias, TypeVar

Seconds: TypeAlias = float
Clock: TypeAlias = Callable[[], Seconds]
Result = TypeVar("Result")

UNLIMITED = math.inf

monotonic: Clock = time.monotonic


class Stopwatch:
    """Measures how long something took, without the times at which it was stopped.

    Attributes:
        paused: Seconds for which it was stopped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()
        self.paused: Seconds = 0.0

    @property
    def seconds(self) -> Seconds:
        """So far."""
        return self._clock() - self._began - self.paused

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time of the block."""
        since = self._clock()
        try:
            yield
        finally:
            self.paused += self._clock() - since


class deadline:  # noqa: N801 - used like a function, as contextlib's own are
    """Raise ``expired()`` when the block takes longer than ``seconds`` (``UNLIMITED``: never).

    A class, for it stands in the way of every request: as a generator it took three times as long.
    """

    def __init__(self, seconds: Seconds, expired: Callable[[], Exception]) -> None:
        self._expired = expired
        self._limit = asyncio.timeout(None if seconds == UNLIMITED else seconds)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._expired() from None


async def finish(work: Awaitable[Result]) -> Result:
    """Wait for ``work`` to the end, even when cancelled meanwhile; the cancellation is raised afterwards.

    For what gives back files and leases: a second cancellation must not leave them held.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # The work's own error is secondary now, but must not stay unretrieved.
        task.exception()
        raise cancelled
    return task.result()


async def cancel_and_wait(task: asyncio.Future[Result]) -> None:
    """End a task of our own and wait until it is really over; its error, if any, is no news any more."""
    task.cancel()
    try:
        if not task.done():
            await finish(asyncio.wait({task}))
    finally:
        # Retrieved also when we are cancelled ourselves, else the loop complains of it later.
        if not task.cancelled():
            task.exception()
