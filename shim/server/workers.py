"""Which worker processes there should be: pure decisions, told what happened and what time it is.

The supervisor tells a ``Roster`` that workers came up, ended, or that it was asked to end or to change over;
the roster answers with the steps to take. Nothing here forks, waits, or looks at a clock.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from shim.server.steps import End, Kill, Order, Say, Start, Step, Tell
from shim.timing import UNLIMITED, Seconds

# The exit status of a worker that has failed, and has said why.
FAILED = 1


@dataclass(frozen=True, slots=True)
class Patience:
    """What is made of workers that end again and again.

    Attributes:
        settled: Seconds after which a worker that ends has not failed at once.
        first_pause: Before the second replacement in a row; the first follows without one. It doubles.
        longest_pause: Where doubling ends.
        attempts: Workers in a row that failed at once, after which there is no more hope if none serves.
        start: Seconds that a worker has to come up.
    """

    settled: Seconds = 10.0
    first_pause: Seconds = 0.5
    longest_pause: Seconds = 30.0
    attempts: int = 10
    start: Seconds = 300.0

    def pause(self, failures: int) -> Seconds:
        """Seconds before the replacement that follows so many failures in a row."""
        # A single crash is no pattern.
        if failures < 2:  # noqa: PLR2004 - more than one, and no tuning
            return 0.0
        return min(self.first_pause * float(1 << (failures - 2)), self.longest_pause)


class Stage(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"  # told to end, in whatever way


@dataclass(slots=True)
class Worker:
    """One worker process, known by its number, which is never used again."""

    number: int
    generation: int
    since: Seconds
    stage: Stage = Stage.STARTING


class Life(enum.Enum):
    """What the whole roster is about; a change over is a new generation beside the old one."""

    STARTING = "starting"
    SERVING = "serving"
    CHANGING = "changing over"
    ENDING = "ending"


class Roster:
    """The workers of one shim, over all its generations of configuration."""

    def __init__(self, size: int, patience: Patience | None = None) -> None:
        """Take how many workers there are to be."""
        self.life = Life.STARTING
        self.generation = 1
        self.workers: dict[int, Worker] = {}
        self._patience = patience or Patience()
        self._size = size
        self._next_size = size
        self._numbers = 0
        self._failures = 0
        self._not_before: Seconds = 0.0
        self._failed = False

    def __repr__(self) -> str:
        stages = ", ".join(f"{worker.number} {worker.stage.value}" for worker in self.workers.values())
        return f"<Roster {self.life.value}, generation {self.generation}: {stages}>"

    @property
    def next_due(self) -> Seconds | None:
        """When ``steps`` has something to do; None or ``UNLIMITED``: only what happens can change that."""
        due = [worker.since + self._patience.start for worker in self._starting()]
        if self.life is not Life.ENDING and self._missing(self.generation) > 0:
            due.append(self._not_before)
        return min(due, default=None)

    # -- what happens -----------------------------------------------------------------------------

    def came_up(self, number: int) -> Iterator[Step]:
        """A worker takes requests."""
        worker = self.workers[number]
        if worker.stage is Stage.STARTING:
            worker.stage = Stage.SERVING
        if self.life in (Life.STARTING, Life.CHANGING) and self._is_complete(self._newest):
            yield from self._change_over()

    def ended(self, number: int, status: int, now: Seconds) -> Iterator[Step]:
        """A worker's process is over; ``status`` as of waitpid, negative for a signal."""
        worker = self.workers.pop(number)
        if worker.stage is Stage.LEAVING:
            yield from self._perhaps_over()
            return
        if self.life is Life.STARTING:
            # The configuration, or the machine, does not allow it: waiting helps nobody. What has failed in
            # order has said why.
            if status != FAILED:
                yield _say_ended(number, status)
            yield from self._give_up()
            return
        yield _say_ended(number, status)
        yield from self._make_up_for(worker, now)

    def not_started(self, number: int, reason: str, now: Seconds) -> Iterator[Step]:
        """A worker could not even be started: as good as one that ended at once."""
        worker = self.workers.pop(number)
        yield Say(f"Worker {number} cannot be started: {reason}", is_fault=True)
        if self.life is Life.STARTING:
            yield from self._give_up()
        else:
            yield from self._make_up_for(worker, now)

    def steps(self, now: Seconds) -> Iterator[Step]:
        """Start what is missing, where its time has come, and end what does not come up."""
        for worker in self._starting():
            if now >= worker.since + self._patience.start:
                yield Say(f"Worker {worker.number} has not come up and is killed", is_fault=True)
                # Once: it is given up until its end is told.
                worker.since = UNLIMITED
                yield Kill(worker.number)
        if self.life is Life.ENDING:
            return
        for generation in dict.fromkeys((self.generation, self._newest)):
            # Asked before each: one that could not be started may end the round for those after it.
            while self._may_start(generation, now):
                self._numbers += 1
                self.workers[self._numbers] = Worker(self._numbers, generation, now)
                yield Start(self._numbers, generation)

    # -- what is asked ----------------------------------------------------------------------------

    def change_over(self, size: int) -> int:
        """Begin a new generation of ``size`` workers beside the present one; its number."""
        assert self.life is Life.SERVING, "one change at a time"
        self.life, self._next_size = Life.CHANGING, size
        return self._newest

    def call_off(self, reason: str) -> Iterator[Step]:
        """End a generation that is not complete; the present one goes on."""
        yield Say(f"The new configuration is not used: {reason}", is_fault=True)
        for worker in self._of(self._newest):
            yield from self._send(worker, Order.NOW)
        self.life = Life.SERVING

    def end(self, order: Order) -> Iterator[Step]:
        """End all workers (DRAIN, or NOW); again and more urgently, where it is asked for."""
        self.life = Life.ENDING
        for worker in self.workers.values():
            yield from self._send(worker, order)
        yield from self._perhaps_over()

    def kill(self) -> Iterator[Step]:
        """End all workers without asking them."""
        for number in self.workers:
            yield Kill(number)

    # -- how it follows ---------------------------------------------------------------------------

    @property
    def _newest(self) -> int:
        return self.generation + 1 if self.life is Life.CHANGING else self.generation

    def _of(self, generation: int) -> list[Worker]:
        return [
            worker
            for worker in self.workers.values()
            if worker.generation == generation and worker.stage is not Stage.LEAVING
        ]

    def _starting(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.stage is Stage.STARTING]

    def _missing(self, generation: int) -> int:
        size = self._size if generation == self.generation else self._next_size
        return size - len(self._of(generation))

    def _may_start(self, generation: int, now: Seconds) -> bool:
        if self.life is Life.ENDING or generation > self._newest or self._missing(generation) <= 0:
            return False
        return generation != self.generation or now >= self._not_before

    def _is_complete(self, generation: int) -> bool:
        serving = all(worker.stage is Stage.SERVING for worker in self._of(generation))
        return serving and not self._missing(generation)

    def _change_over(self) -> Iterator[Step]:
        """The newest generation is complete: it is the present one, and the one before may go."""
        before, after = self.generation, self._newest
        self.generation, self._size, self.life = after, self._next_size, Life.SERVING
        self._failures, self._not_before = 0, 0.0
        for worker in self._of(before) if before != after else ():
            yield from self._send(worker, Order.RETIRE)

    def _make_up_for(self, worker: Worker, now: Seconds) -> Iterator[Step]:
        """See to it that a worker that ended unasked is replaced, or that its generation goes with it."""
        if worker.generation != self.generation:
            yield from self.call_off("a worker under the new configuration did not come up")
        else:
            yield from self._replace(worker, now)

    def _replace(self, worker: Worker, now: Seconds) -> Iterator[Step]:
        """Say when the next worker starts in place of one that ended; or give up, where all end at once."""
        failed_at_once = now - worker.since < self._patience.settled
        self._failures = self._failures + 1 if failed_at_once else 1
        others_serve = any(worker.stage is Stage.SERVING for worker in self._of(self.generation))
        if self._failures >= self._patience.attempts and not others_serve:
            yield Say(f"{self._failures} workers in a row ended at once: giving up", is_fault=True)
            yield from self._give_up()
            return
        pause = self._patience.pause(self._failures)
        self._not_before = now + pause
        yield Say(f"A new worker takes its place in {pause:g} s" if pause else "A new worker takes its place")

    def _give_up(self) -> Iterator[Step]:
        self._failed = True
        yield from self.end(Order.DRAIN)

    def _send(self, worker: Worker, order: Order) -> Iterator[Step]:
        # One that is not up yet may never listen, and has nothing that could be lost.
        at_once = worker.stage is Stage.STARTING and order is Order.NOW
        worker.stage = Stage.LEAVING
        yield Kill(worker.number) if at_once else Tell(worker.number, order)

    def _perhaps_over(self) -> Iterator[Step]:
        if self.life is Life.ENDING and not self.workers:
            yield End(self._failed)


def _say_ended(number: int, status: int) -> Say:
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return Say(f"Worker {number} {how}", is_fault=True)
