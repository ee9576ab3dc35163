"""A crew of threads: more of them only while all are stuck, and as few as before once they are not."""

import contextlib
import queue
import threading
import time

import pytest

from shim import crew as crew_module
from shim.crew import Crew
from tests.support.series import series

PATIENCE = 10


class Work:
    """Turns handed to a crew; a gate is waited for, ``None`` ends a thread."""

    def __init__(self, least, most):
        self.given = queue.SimpleQueue()
        self.crew = Crew(self._loop, least, most, name="crew")

    def _loop(self):
        while (turn := self.given.get()) is not None:
            self.crew.begin_turn()
            turn()
            if not self.crew.end_turn():
                return

    def give(self, *turns):
        for turn in turns:
            self.given.put(turn)


@contextlib.contextmanager
def working(least, most):
    work = Work(least, most)
    work.crew.start()
    yield work
    work.give(*[None] * len(work.crew))
    work.crew.join()
    until(lambda: not crew_threads())


def crew_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("crew-")]


def until(holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.001)


def stuck(work, count, gate):
    """Let so many turns wait for a gate; each has begun."""
    begun = threading.Semaphore(0)

    def turn():
        begun.release()
        gate.wait()

    work.give(*[turn] * count)
    for _ in range(count):
        assert begun.acquire(timeout=PATIENCE)


@series(("least", "most"), [(1, 1), (2, 2), (2, 5), (3, 1)])
def test_it_starts_with_the_least_and_ends_with_none(least, most):
    with working(least, most) as work:
        assert len(work.crew) == least
        assert len(crew_threads()) == least + (most > least)


@pytest.mark.parametrize("count", [1, 2])
def test_who_is_stuck_leaves_somebody_free(count):
    """With as many threads stuck as there are from the start, a further turn still comes to its end."""
    gate, done = threading.Event(), threading.Event()
    with working(count, count + 1) as work:
        stuck(work, count, gate)
        work.give(done.set)
        assert done.wait(PATIENCE)
        gate.set()


def test_there_are_never_more_than_the_most():
    gate, done = threading.Event(), threading.Event()
    with working(1, 3) as work:
        stuck(work, 3, gate)
        work.give(done.set)
        assert not done.wait(4 * crew_module.STALL)
        assert len(work.crew) == 3
        gate.set()
        assert done.wait(PATIENCE)


def test_those_too_many_leave_as_they_come_back():
    gate = threading.Event()
    with working(2, 6) as work:
        stuck(work, 6, gate)
        assert len(work.crew) == 6
        gate.set()
        until(lambda: len(work.crew) == 2)
        again = threading.Event()
        stuck(work, 4, again)
        again.set()
        until(lambda: len(work.crew) == 2)


def test_nobody_joins_while_turns_come_to_their_end():
    """All are at work all the time, but none for long: more threads would only share the processor."""
    with working(1, 8) as work:
        end = time.monotonic() + 6 * crew_module.STALL
        while time.monotonic() < end:
            work.give(*[lambda: None] * 10)
            time.sleep(0.0005)
        until(work.given.empty)
        assert len(work.crew) == 1


def test_it_can_start_again():
    work = Work(2, 3)
    for _ in range(2):
        gate = threading.Event()
        work.crew.start()
        stuck(work, 3, gate)
        gate.set()
        until(lambda: len(work.crew) == 2)
        work.give(None, None)
        work.crew.join()
    until(lambda: not crew_threads())


class Limited:
    """A system that gives so many threads."""

    def __init__(self, monkeypatch, left):
        self.left = left
        start = threading.Thread.start

        def limited(thread):
            if not self.left:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


def test_a_system_without_threads(monkeypatch):
    Limited(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="can't start"):
        Work(4, 8).crew.start()


@pytest.mark.parametrize("given", [1, 3, 4])
def test_a_system_with_few_threads(monkeypatch, given):
    """One is enough to begin with; the others, and who would add more, are done without."""
    Limited(monkeypatch, given)
    done = threading.Event()
    with working(4, 8) as work:
        assert len(work.crew) == given
        work.give(done.set)
        assert done.wait(PATIENCE)


def test_a_system_that_gives_no_more_when_they_are_needed(monkeypatch):
    limit = Limited(monkeypatch, 2)  # one for the work, one for the watch
    gate, done = threading.Event(), threading.Event()
    with working(1, 4) as work:
        stuck(work, 1, gate)
        work.give(done.set)
        assert not done.wait(3 * crew_module.STALL)
        limit.left = 1
        assert done.wait(PATIENCE), "it is tried again"
        gate.set()
