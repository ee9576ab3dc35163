"""Event loops for tests: asyncio's, uvloop's, and one whose time leaps instead of passing.

Each fails a test that leaves a task behind, or whose loop had to complain of something.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

try:
    import uvloop
except ImportError:
    uvloop = None

# Seconds of real time, on a busy machine too; beyond it a test would never end.
LONGEST_TEST = 60
# For tasks that end by themselves, as a fake server's does once it has seen its client go.
LAST_TURNS = 10

Result = TypeVar("Result")
Run = Callable[[Coroutine[Any, Any, Result]], Result]


class DeadEnd(AssertionError):
    """Every task waits for something that will never come."""


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop without threads: where it would sleep it sets its clock forward instead."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_NeverWaiting(self))

    def time(self) -> float:
        return self._now

    def leap(self, seconds: float) -> None:
        """Set the clock to the moment that is waited for: a float's remainder would never pass here."""
        moment = self._now + seconds
        planned = self._scheduled[0].when() if self._scheduled else moment
        self._now = planned if abs(planned - moment) < self._clock_resolution else moment


class _NeverWaiting(selectors.DefaultSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop
        self._patience = time.monotonic() + LONGEST_TEST

    def select(self, timeout: float | None = None) -> list[Any]:
        if time.monotonic() > self._patience:
            self._patience += LONGEST_TEST  # for the cancelled tasks to end
            raise DeadEnd("the tasks run in circles")
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadEnd("every task waits for something that will never come")
        if timeout > 0:
            self._loop.leap(timeout)
        return []


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on asyncio's own loop."""
    return _run(_with_an_end(coroutine), asyncio.SelectorEventLoop)


def run_leaping(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on a ``LeapingLoop``: hours take no time, and a wait without an end is a failure."""
    return _run(coroutine, LeapingLoop)


def warm_loops() -> None:
    """Run each loop once: its first run may open what it keeps."""
    for runner in (run, run_uvloop) if uvloop else (run,):
        runner(asyncio.sleep(0))


def run_uvloop(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on uvloop."""
    return _run(_with_an_end(coroutine), uvloop.new_event_loop)


REAL_LOOPS = [
    # What serves where uvloop is, which is nearly everywhere, is tried always.
    pytest.param(run, id="asyncio", marks=pytest.mark.more if uvloop else ()),
    pytest.param(
        run_uvloop, id="uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is not installed")
    ),
]


def loop_time() -> float:
    """The running loop's clock, for whatever takes a ``Clock``."""
    return asyncio.get_running_loop().time()


async def let_others_run(turns: int = 10) -> None:
    """Give every other task so many turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def stays_quiet() -> None:
    """Fail where a cancellation that was meant for a block comes after it."""
    await let_others_run()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def _with_an_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    async with asyncio.timeout(LONGEST_TEST):
        return await coroutine


def _run(coroutine: Coroutine[Any, Any, Result], factory: Callable[[], asyncio.AbstractEventLoop]) -> Result:
    complaints: list[dict[str, Any]] = []

    async def watched() -> Result:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        result = await coroutine
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left and factory is not LeapingLoop:
            _, left = await asyncio.wait(left, timeout=LAST_TURNS)
        assert not left, f"tasks left behind: {left}"
        return result

    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(watched())
    assert not complaints, f"the loop complained: {complaints}"
    return result
