"""Turns that come after a while: who is in the lane gets one when its time has come, whatever its sockets do.

Waited for by epoll, a client that sends a kilobyte at a time costs a wake-up and a turn for each; a while
later it has sent several. All that are due in the same moment are served one after the other, by one thread.
"""

import math
import threading
from typing import Generic, TypeVar

from shim.crew import Crew, Worker
from shim.timing import UNLIMITED, Clock, Seconds

# Moments are so long: several members share one, and a thread is woken once for all of them.
TICK: Seconds = 0.05
# Little has come by the time of a late turn, or else the member is none of ours for long.
BUFFER = 128 * 1024

Member = TypeVar("Member")


class Lane(Generic[Member]):
    """Who is due when, by ticks; told the time.

    A member may leave before its time, and then nothing here knows it any more.
    """

    def __init__(self) -> None:
        self._ticks: dict[int, dict[Member, None]] = {}
        self._tick_of: dict[Member, int] = {}

    def __len__(self) -> int:
        return len(self._tick_of)

    @property
    def next_due(self) -> Seconds:
        """When the next turn is due; ``UNLIMITED`` where nobody is there."""
        # Few: a delay is bounded, so that there are never more ticks than it has.
        return min(self._ticks) * TICK if self._ticks else UNLIMITED

    def enter(self, member: Member, due: Seconds) -> None:
        """Wait until ``due``, or up to a tick longer; who is there already gets the new time."""
        self.leave(member)
        tick = math.ceil(due / TICK)
        self._tick_of[member] = tick
        self._ticks.setdefault(tick, {})[member] = None

    def leave(self, member: Member) -> None:
        """Wait no more; nothing where it is not there."""
        tick = self._tick_of.pop(member, None)
        if tick is None:
            return
        members = self._ticks[tick]
        del members[member]
        if not members:
            del self._ticks[tick]

    def take(self, now: Seconds) -> Member | None:
        """One whose time has come, the longest due first; None where there is none."""
        if self.next_due > now:
            return None
        member = next(iter(self._ticks[min(self._ticks)]))
        self.leave(member)
        return member


class LateTurns:
    """The lane's thread: one, and more while that is stuck at a disk (``Crew``)."""

    def __init__(self, most: int, *, name: str, clock: Clock) -> None:
        """Take how many threads there are at most; the first starts with the first member."""
        self._clock = clock
        self._lane: Lane[Worker] = Lane()
        self._changed = threading.Condition()
        self._crew = Crew(self._run, 1, most, name=name, clock=clock)
        self._is_running = False

    def __len__(self) -> int:
        return len(self._lane)

    @property
    def threads(self) -> int:
        """How many there are."""
        return len(self._crew)

    @property
    def stuck(self) -> Seconds:
        """Seconds in all in which all of them were stuck (``Crew.stuck``)."""
        return self._crew.stuck

    def enter(self, worker: Worker, delay: Seconds) -> bool:
        """Give it a turn after so many seconds; False where the system has no thread for that."""
        with self._changed:
            if not self._is_running and not self._start():
                return False
            due = self._clock() + delay
            if due < self._lane.next_due:
                self._changed.notify()
            self._lane.enter(worker, due)
        return True

    def leave(self, worker: Worker) -> None:
        """Give it none; one that has begun, or is just about to, is the worker's to refuse."""
        with self._changed:
            self._lane.leave(worker)

    def close(self) -> None:
        """End the threads; nobody may be in the lane."""
        with self._changed:
            assert not self._lane, "turns are still due"
            if not self._is_running:
                return
            self._is_running = False
            self._changed.notify_all()
        self._crew.join()

    def _start(self) -> bool:
        # Before the threads look: they end where they find it unset.
        self._is_running = True
        try:
            self._crew.start()
        except RuntimeError:
            self._is_running = False
        return self._is_running

    def _run(self) -> None:
        buffer = memoryview(bytearray(BUFFER))
        stays = True
        while stays and (worker := self._next()) is not None:
            self._crew.begin_turn()
            worker.step(buffer)
            stays = self._crew.end_turn()

    def _next(self) -> Worker | None:
        """The next worker, waited for; None at the end."""
        with self._changed:
            while self._is_running:
                worker = self._lane.take(self._clock())
                if worker is not None:
                    return worker
                due = self._lane.next_due
                self._changed.wait(None if due == UNLIMITED else max(0.0, due - self._clock()))
        return None
