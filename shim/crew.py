"""Threads that all do the same work, and of which more join while all of them are stuck.

A disk that stalls holds whoever writes to it, for as long as it likes and beyond all cancelling. Few threads
are enough, and cheapest, as long as their turns come to an end; so more come only when none has for a while.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

from shim.timing import Clock, Seconds, monotonic

# All at work for so long and not one turn ended: they do not compute, they are stuck.
STALL: Seconds = 0.05


class Worker(Protocol):
    """What a thread calls when its turn has come."""

    def step(self, buffer: memoryview) -> None:
        """Take one turn; ``buffer`` is the thread's own, and free again afterwards.

        It must not raise: that would end the thread.
        """
        ...


class Crew:
    """At least ``least`` threads at a loop of the caller's, and up to ``most`` while they are stuck.

    The loop calls ``begin_turn`` before each piece of work and ``end_turn`` after it.
    """

    def __init__(
        self, loop: Callable[[], None], least: int, most: int, *, name: str, clock: Clock = monotonic
    ) -> None:
        """Take what each thread runs, and how many there are; they start with ``start``."""
        self._loop = loop
        self._least = least
        self._most = max(least, most)
        self._name = name
        self._state = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._numbers = 0
        self._waiting = 0  # threads between two turns
        self._turns = 0  # that have come to their end
        self._is_ending = False
        self._is_watching = False
        self._watch: threading.Thread | None = None
        self._clock = clock
        self._standing_since: Seconds | None = None  # all are at work since then, and no turn has ended
        self._stood: Seconds = 0.0

    def __len__(self) -> int:
        return len(self._threads)

    @property
    def has_free(self) -> bool:
        """Whether a thread is between two turns; without the lock, for it is old news in any case."""
        return self._waiting > 0

    @property
    def stuck(self) -> Seconds:
        """Seconds in all in which no thread was free and no turn ended, for ``STALL`` or longer at a time.

        Work that came meanwhile found nobody. Without the lock: old news by a moment.
        """
        return self._stood + self._standstill()

    def start(self) -> None:
        """Begin with the least number of threads.

        Raises:
            RuntimeError: The system has no thread for us, not even one.
        """
        with self._state:
            self._threads.clear()
            self._waiting = 0
            self._is_ending = self._is_watching = False
            self._add()
            while len(self._threads) < self._least and self._add_if_possible():
                pass
        if self._most > self._least:
            # A thread of its own, because nobody else is free when it has work; without it none are added.
            name = f"{self._name}-watch"
            watch = threading.Thread(target=self._add_while_stuck, name=name, daemon=True)
            with contextlib.suppress(RuntimeError):
                watch.start()
                self._watch = watch

    def join(self) -> None:
        """Wait for the end of all threads, which the caller has told to end."""
        with self._state:
            self._is_ending = True
            self._state.notify_all()
            threads = {*self._threads, *([self._watch] if self._watch else [])}
        for thread in threads:
            thread.join()
        self._watch = None

    # -- for the threads --------------------------------------------------------------------------

    def begin_turn(self) -> None:
        """The calling thread does not wait for work any more."""
        with self._state:
            self._waiting -= 1
            if self._waiting == 0:
                self._standing_since = self._clock()
                if not self._is_watching:
                    self._is_watching = True
                    self._state.notify_all()

    def end_turn(self) -> bool:
        """The calling thread is free again; False where it is one too many by now, and is to end."""
        with self._state:
            self._turns += 1
            self._end_standstill()
            if self._waiting >= self._least and not self._is_ending:
                self._threads.discard(threading.current_thread())
                return False
            self._waiting += 1
            return True

    def _add(self) -> None:
        thread = threading.Thread(target=self._loop, name=f"{self._name}-{self._numbers}", daemon=True)
        thread.start()
        self._numbers += 1
        self._end_standstill()
        self._waiting += 1
        self._threads.add(thread)

    def _standstill(self) -> Seconds:
        since = self._standing_since
        lasted = 0.0 if since is None else self._clock() - since
        return lasted if lasted >= STALL else 0.0

    def _end_standstill(self) -> None:
        if self._standing_since is not None:
            self._stood += self._standstill()
            self._standing_since = None

    def _add_if_possible(self) -> bool:
        try:
            self._add()
        except RuntimeError:
            # The system's limit: those that are there must do.
            return False
        return True

    def _add_while_stuck(self) -> None:
        with self._state:
            while not self._is_ending:
                self._state.wait_for(lambda: self._is_watching or self._is_ending)
                turns = self._turns
                self._state.wait_for(lambda: self._is_ending, STALL)
                if self._waiting:
                    self._is_watching = False
                elif self._turns == turns and not self._is_ending and len(self._threads) < self._most:
                    self._add_if_possible()
