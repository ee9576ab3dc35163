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
from typing import Any, TypeAlias, TypeVar

Seconds: TypeAlias = float
Clock: TypeAlias = Callable[[], Seconds]
Result = TypeVar("Result")

UNLIMITED = math.inf

monotonic: Clock = time.monotonic

# A loop's timer may go off so much too early.
_GRAIN: Seconds = 0.001


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

    Does itself what ``asyncio.timeout`` does, because every request passes through it: on top of that it took
    twice as long, and as a generator longer still.
    """

    # Of ``__aenter__``: who waits, and how many others had asked for its end by then.
    _task: asyncio.Task[Any]
    _others: int

    def __init__(
        self, seconds: Seconds, expired: Callable[[], Exception], alarm: "Alarm | None" = None
    ) -> None:
        """Take how long, and the error; ``alarm``, which nobody else uses meanwhile, spares a new timer."""
        self._seconds = seconds
        self._expired = expired
        self._alarm = alarm
        self._has_expired = False
        self._timer: asyncio.Handle | None = None

    async def __aenter__(self) -> None:
        if self._seconds == UNLIMITED:
            return
        task = asyncio.current_task()
        assert task is not None
        self._task, self._others = task, task.cancelling()
        if self._alarm is not None and self._seconds > 0:
            self._alarm.set(self._seconds, self._expire)
            return
        loop = asyncio.get_running_loop()
        # What has no time left gets no turn of the loop either, whatever its timers round to.
        self._timer = (
            loop.call_later(self._seconds, self._expire)
            if self._seconds > 0
            else loop.call_soon(self._expire)
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        elif self._alarm is not None:
            self._alarm.stop()
        # The cancellation is ours only if nobody else asked for one too.
        if self._has_expired and self._task.uncancel() <= self._others and kind is asyncio.CancelledError:
            raise self._expired() from None

    def _expire(self) -> None:
        self._has_expired = True
        self._task.cancel()


class Alarm:
    """Calls back at a moment that is moved again and again, as where one request follows on the other.

    Moving it on, or stopping it, costs a look at the clock: the loop's timer stays where it is, and is set
    anew for the rest where it goes off too early.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: Seconds = UNLIMITED
        self._action: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: Seconds = UNLIMITED

    def set(self, seconds: Seconds, action: Callable[[], object]) -> None:
        """Call ``action`` in so many seconds (``UNLIMITED``: never); what was set before is forgotten."""
        if seconds == UNLIMITED:
            self.stop()
            return
        self._due, self._action = self._loop.time() + seconds, action
        if self._due < self._timer_due:
            self._start_timer()

    def stop(self) -> None:
        """Call nothing."""
        self._due, self._action = UNLIMITED, None

    def close(self) -> None:
        """Call nothing any more, and leave nothing behind in the loop."""
        self.stop()
        self._end_timer()

    def _start_timer(self) -> None:
        self._end_timer()
        self._timer, self._timer_due = self._loop.call_at(self._due, self._go_off), self._due

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due = None, UNLIMITED

    def _go_off(self) -> None:
        self._timer, self._timer_due = None, UNLIMITED
        action = self._action
        if action is None:
            return
        # Loops round their timers to milliseconds: what is left of one is no reason to wait for it.
        if self._due - self._loop.time() > _GRAIN:
            self._start_timer()
            return
        self.stop()
        action()


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
