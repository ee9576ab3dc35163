"""Work on sockets that the event loop lends to the poller's threads, and gets back.

It gets them back when the job is done, has failed, or was called back. Who may touch them is written down at
any moment, and changes under one lock: the loop, epoll alone, or one thread.
"""

import abc
import asyncio
import enum
import os
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from shim.poller import Poller
from shim.timing import Seconds, finish

Result = TypeVar("Result")


class Ready(enum.Enum):
    """What a turn gives that saw no end of what it could do: the peer need not be waited for."""

    READY = "ready"


READY = Ready.READY

# A thread stays with one peer for so long while others may have none: a few megabytes, next to which the
# change costs nothing, and no wait that anybody would notice.
LONGEST_STAY: Seconds = 0.01
# So much of a stall is kept off a peer's account. A disk that is dead for good would let all who wait for a
# thread wait for ever: from then on their own times end them.
LONGEST_EXCUSE: Seconds = 600.0


class Holder(enum.Enum):
    """Who may touch a job's sockets and state."""

    LOOP = "loop"
    EPOLL = "epoll"  # nobody, until the peer does something
    LANE = "lane"  # nobody, until a delay is over
    THREAD = "thread"


# Then whoever comes first may take it.
_NOBODY = frozenset({Holder.EPOLL, Holder.LANE})


@dataclass(frozen=True, slots=True)
class Wait:
    """What a job waits for: one of its descriptors to become readable or writable (EPOLLIN, EPOLLOUT)."""

    descriptor: int
    events: int


@dataclass(frozen=True, slots=True)
class Delay:
    """What a job waits for: so many seconds, whatever its peers do meanwhile; then it takes its next turn."""

    seconds: Seconds


class Job(abc.ABC, Generic[Result]):
    """Sockets in the hands of the poller, as often as ``perform`` is called.

    A socket is used through a descriptor of our own, so that nothing its owner does can let the number
    become somebody else's while a thread works. At any moment one socket is waited for, or a delay, or one
    thread is at work; all that both sides touch changes hands under one lock.
    """

    def __init__(self, poller: Poller, descriptor: int, events: int) -> None:
        """Take a socket, which is duplicated, and what to wait for at first.

        Raises:
            OSError: The process has no descriptor left.
        """
        self._poller = poller
        self._descriptor = os.dup(descriptor)
        self._wait = Wait(self._descriptor, events)
        self._watched: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._holder = Holder.LOOP
        self._is_called_back = False
        self._came_from_lane = False
        self._result: Result | None = None
        self._error: Exception | None = None
        self._returned = asyncio.Event()
        self._since: Seconds = 0.0
        self._stuck_before: Seconds = 0.0
        self._waited: Seconds = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._descriptor}, with the {self._holder.value}>"

    # -- for the loop -----------------------------------------------------------------------------

    @property
    def waited(self) -> Seconds:
        """Seconds that a peer was waited for, in all; what a disk took does not count, of other jobs either.

        A delay counts as well, for the peer may go on meanwhile, but only once it is over: until then nobody
        knows what the peer did with it.
        """
        # With the lock, or a turn that begins just now would be counted twice, and a client timed out by it.
        with self._lock:
            return self._waited + self._waiting

    @property
    def _waiting(self) -> Seconds:
        """Seconds that the peer has been waited for since the last turn; asked with the lock held."""
        return self._elapsed if self._holder is Holder.EPOLL else 0.0

    @property
    def _elapsed(self) -> Seconds:
        """Seconds since the last turn, but for those in which no thread could have given the next one.

        No more than ``LONGEST_EXCUSE`` of these.
        """
        is_late = self._holder is Holder.LANE
        stuck = (self._poller.stuck_late if is_late else self._poller.stuck) - self._stuck_before
        return max(0.0, self._poller.clock() - self._since - min(stuck, LONGEST_EXCUSE))

    async def perform(self) -> Result:
        """Work until there is a result; cancelled, it returns when no thread works any more.

        Raises:
            Exception: What ``work`` raised.
            OSError, RuntimeError: The poller could not take the job.
        """
        returned = self._hand_over()
        try:
            await returned.wait()
        except asyncio.CancelledError:
            if not self._call_back():
                await finish(returned.wait())
            raise
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _hand_over(self) -> asyncio.Event:
        # A new one each time: the last turn of a job that was called back may still be about to set the old.
        self._returned = asyncio.Event()
        self._result = self._error = None
        self._is_called_back = False
        with self._lock:
            self._wait_for(self._wait)
        return self._returned

    def close(self) -> None:
        """Give up the descriptors of our own; the loop must hold the job."""
        assert self._holder is Holder.LOOP, "a thread still works"
        os.close(self._descriptor)

    def _call_back(self) -> bool:
        """Take the sockets back; False where a thread works with them just now, and will return them."""
        with self._lock:
            self._is_called_back = True
            if self._holder in _NOBODY:
                self._let_go()
            return self._holder is Holder.LOOP

    # -- for the threads --------------------------------------------------------------------------

    @abc.abstractmethod
    def work(self, buffer: memoryview) -> Result | Wait | Delay | Ready | None:
        """One turn, without waiting for a peer: the result, or what to wait for (None: the last socket)."""

    def step(self, buffer: memoryview) -> None:
        """Take a turn or several, and wait for a peer again or return to the loop."""
        if not self._take_hold():
            return
        wait = self._take_turns(buffer)
        with self._lock:
            # With the lock held: an event may come at once, and its thread waits for us to be done.
            if wait is not None and not self._is_called_back and self._try_to_wait(wait):
                return
            self._let_go()
            # Also this: once the loop sees that it holds the job, it may end, and be told nothing any more.
            self._loop.call_soon_threadsafe(self._returned.set)

    def _take_hold(self) -> bool:
        with self._lock:
            if self._holder not in _NOBODY:
                return False
            self._count_waiting(self._elapsed)
            self._came_from_lane = self._holder is Holder.LANE
            self._holder = Holder.THREAD
            return True

    def _take_turns(self, buffer: memoryview) -> Wait | Delay | None:
        """Work; what to wait for next, or None where the job is over.

        A thread stays with a peer that is ahead: by way of epoll the next turn would be another thread's,
        with a buffer that is in no cache, and the two would fight for the interpreter for one client.
        """
        began = self._poller.clock()
        while (wait := self._take_turn(buffer)) is READY:
            if self._is_called_back or self._is_wanted_elsewhere(began):
                return self._wait
        return wait

    def _is_wanted_elsewhere(self, began: Seconds) -> bool:
        if self._came_from_lane:
            # All who are slow wait behind this turn, and a peer that is ahead by now is none of them. That
            # the poller has a free thread helps nobody in the lane.
            return True
        return not self._poller.has_free_thread and self._poller.clock() - began > LONGEST_STAY

    def _take_turn(self, buffer: memoryview) -> Wait | Delay | Ready | None:
        try:
            outcome = self.work(buffer)
        except Exception as error:  # noqa: BLE001 - the loop raises it; a thread has nobody to tell
            self._error = error
            return None
        if outcome is None:
            return self._wait
        if isinstance(outcome, Wait | Delay | Ready):
            return outcome
        self._result = outcome
        return None

    def _try_to_wait(self, wait: Wait | Delay) -> bool:
        if isinstance(wait, Delay):
            if self._start_delay(wait):
                return True
            # No thread for that: the socket is waited for as ever.
            wait = self._wait
        try:
            self._wait_for(wait)
        except OSError as error:
            self._error = error
            return False
        return True

    # -- with the lock held -----------------------------------------------------------------------

    def _count_waiting(self, seconds: Seconds) -> None:
        """Add up the time that the peer of the present wait let pass."""
        self._waited += seconds

    def _wait_for(self, wait: Wait) -> None:
        # The holder first: the event may come before the call returns.
        before, self._holder = self._holder, Holder.EPOLL
        self._wait, self._since, self._stuck_before = wait, self._poller.clock(), self._poller.stuck
        try:
            self._poller.watch(self, wait.descriptor, wait.events)
        except BaseException:
            self._holder = before
            raise
        self._watched.add(wait.descriptor)

    def _start_delay(self, delay: Delay) -> bool:
        # Nobody watches the socket meanwhile: its registration is one-shot, and has had its event.
        before, self._holder = self._holder, Holder.LANE
        self._since, self._stuck_before = self._poller.clock(), self._poller.stuck_late
        if not self._poller.delay(self, delay.seconds):
            self._holder = before
        return self._holder is Holder.LANE

    def _let_go(self) -> None:
        # In any case: an old turn may have come between, and left it there.
        self._poller.cancel_delay(self)
        while self._watched:
            self._poller.forget(self._watched.pop())
        self._holder = Holder.LOOP
