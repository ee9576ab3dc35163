"""Time that is measured, and waits that end: by an error of their own, or finished though cancelled."""

import asyncio
import contextlib
import functools
import gc
import math
import weakref

import pytest

from shim.timing import UNLIMITED, Alarm, Stopwatch, cancel_and_wait, deadline, finish
from tests.fakes.loops import LeapingLoop, let_others_run
from tests.fakes.loops import run_leaping as run
from tests.support.series import series


class Expired(Exception):
    """The deadline under test."""


class Broken(Exception):
    """The work's own failure."""


# -- stopwatch ------------------------------------------------------------------------------------


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_stopwatch_runs_from_the_start():
    clock = Hands()
    stopwatch = Stopwatch(clock)
    assert stopwatch.seconds == 0
    clock.now += 5
    assert stopwatch.seconds == 5


@pytest.mark.parametrize("error", [None, Broken()], ids=["in order", "by an error"])
def test_what_passes_while_it_is_stopped_does_not_count(error):
    clock = Hands()
    stopwatch = Stopwatch(clock)
    for _ in range(3):
        clock.now += 2
        with contextlib.suppress(Broken), stopwatch.stopped():
            clock.now += 100
            if error is not None:
                raise error
    clock.now += 1
    assert stopwatch.seconds == 7


# -- alarm ----------------------------------------------------------------------------------------

STEPS = [
    # what is done at which second, what has rung at which second by the end
    pytest.param({0: 5}, ["5 of 0"], id="once"),
    pytest.param({0: 5, 3: 5}, ["8 of 3"], id="moved on"),
    pytest.param({0: 5, 3: 1}, ["4 of 3"], id="moved nearer"),
    pytest.param({0: 5, 3: 5, 4: 1}, ["5 of 4"], id="moved on and nearer"),
    pytest.param({0: 5, 3: None}, [], id="stopped"),
    pytest.param({0: 5, 3: None, 4: 5}, ["9 of 4"], id="stopped and set again"),
    pytest.param({0: 5, 3: None, 7: 5}, ["12 of 7"], id="stopped, and set after the timer went off"),
    pytest.param({0: 2, 3: 2}, ["2 of 0", "5 of 3"], id="twice"),
    pytest.param({0: UNLIMITED}, [], id="never"),
    pytest.param({0: UNLIMITED, 1: 2}, ["3 of 1"], id="never, then soon"),
    pytest.param({0: 3, 1: UNLIMITED}, [], id="soon, then never"),
    pytest.param({0: 0}, ["0 of 0"], id="at once"),
]


@series(("steps", "rung"), STEPS)
def test_an_alarm_rings_at_its_last_setting(steps, rung):
    async def scene():
        loop = asyncio.get_running_loop()
        began, told, alarm = loop.time(), [], Alarm(loop)

        def ring(since):
            told.append(f"{loop.time() - began:.0f} of {since}")

        for since, seconds in steps.items():
            await asyncio.sleep(began + since - loop.time())
            if seconds is None:
                alarm.stop()
            else:
                alarm.set(seconds, functools.partial(ring, since))
        await asyncio.sleep(20)
        assert told == rung

    run(scene())


def test_a_moved_alarm_needs_no_new_timer():
    class Counting(LeapingLoop):
        timers = 0

        def call_at(self, *arguments, **named):
            self.timers += 1
            return super().call_at(*arguments, **named)

    loop = Counting()
    alarm = Alarm(loop)
    for _ in range(100):
        alarm.set(75, loop.stop)
        loop.leap(0.5)
        alarm.stop()
    assert loop.timers == 1
    alarm.close()
    loop.close()


def test_a_closed_alarm_leaves_nothing_behind():
    class Action:
        def __call__(self):
            raise AssertionError

    async def scene():
        action = Action()
        alarm = Alarm(asyncio.get_running_loop())
        alarm.set(5, action)
        kept = weakref.ref(action)
        del action
        alarm.close()
        assert kept() is None
        await asyncio.sleep(10)

    run(scene())


# -- deadline -------------------------------------------------------------------------------------


def test_unlimited_is_no_number_of_seconds():
    assert math.isinf(UNLIMITED)


# By a timer of its own, or by an alarm that one deadline after the other has.
on_both_timers = pytest.mark.parametrize("has_alarm", [False, True], ids=["timer", "alarm"])


@on_both_timers
@pytest.mark.parametrize("seconds", [60.0, UNLIMITED], ids=["60 s", "unlimited"])
def test_within_the_deadline_nothing_happens(seconds, has_alarm):
    async def story() -> str:
        alarm = Alarm(asyncio.get_running_loop()) if has_alarm else None
        for _ in range(2):
            async with deadline(seconds, Expired, alarm):
                await let_others_run()
        await asyncio.sleep(100)
        return "done"

    assert run(story()) == "done"


@on_both_timers
@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.001])
def test_after_it_comes_an_error_of_its_own(seconds, has_alarm):
    async def story() -> None:
        alarm = Alarm(asyncio.get_running_loop()) if has_alarm else None
        async with deadline(50, Expired, alarm):
            await asyncio.sleep(40)
        async with deadline(seconds, Expired, alarm):
            await asyncio.sleep(60)

    with pytest.raises(Expired) as expiry:
        run(story())
    assert expiry.value.__suppress_context__


def test_the_nearer_of_two_deadlines_has_its_name():
    async def story(outer: float, inner: float) -> None:
        async with deadline(outer, lambda: Expired("outer")), deadline(inner, lambda: Expired("inner")):
            await asyncio.sleep(60)

    with pytest.raises(Expired, match="outer"):
        run(story(0.001, 60))
    with pytest.raises(Expired, match="inner"):
        run(story(60, 0.001))


@pytest.mark.parametrize("error", [Broken, OSError, asyncio.CancelledError], ids=lambda error: error.__name__)
def test_other_errors_pass_through(error):
    async def story() -> None:
        async with deadline(60, Expired):
            raise error

    with pytest.raises(error):
        run(story())


def test_a_cancellation_from_outside_stays_one():
    async def work() -> None:
        async with deadline(60, Expired):
            await asyncio.sleep(60)

    async def story() -> None:
        task = asyncio.ensure_future(work())
        await let_others_run()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        run(story())


# -- finish ---------------------------------------------------------------------------------------


class Work:
    """Something that takes until it is let go, and then ends with a result or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.error = error
        self.ended = False

    async def run(self) -> str:
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return "result"
        finally:
            self.ended = True


def test_finish_gives_the_result():
    async def story() -> str:
        work = Work()
        work.gate.set()
        return await finish(work.run())

    assert run(story()) == "result"


def test_finish_gives_the_error():
    async def story() -> None:
        work = Work(Broken())
        work.gate.set()
        await finish(work.run())

    with pytest.raises(Broken):
        run(story())


def test_finish_takes_futures():
    async def story() -> int:
        future = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return await finish(future)

    assert run(story()) == 1


@pytest.mark.parametrize("error", [None, Broken()], ids=["the work succeeds", "the work fails"])
@series("times", [1, 2, 3])
def test_finish_goes_on_however_often_it_is_cancelled(times, error):
    async def story() -> None:
        work = Work(error)
        waiting = asyncio.ensure_future(finish(work.run()))
        for _ in range(times):
            await let_others_run()
            waiting.cancel()
        await let_others_run()
        assert not waiting.done()
        assert not work.ended
        work.gate.set()
        await asyncio.wait([waiting])
        # What it was cancelled for has happened, and its canceller is told so.
        assert work.ended
        assert waiting.cancelled()

    run(story())


def test_finish_passes_on_that_the_work_itself_was_cancelled():
    async def story() -> None:
        task = asyncio.ensure_future(Work().run())
        waiting = asyncio.ensure_future(finish(task))
        await let_others_run()
        task.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        run(story())


# -- cancel_and_wait ------------------------------------------------------------------------------


class Stubborn(Work):
    """A task that takes until it is let go also to be cancelled, and may fail at it."""

    async def run(self) -> str:
        try:
            return await asyncio.Event().wait() and ""
        finally:
            await finish(super().run())


def started(work: Work) -> asyncio.Task[str]:
    return asyncio.get_running_loop().create_task(work.run())


def test_a_task_is_over_when_the_wait_is():
    async def story() -> None:
        work = Work()
        task = started(work)
        await let_others_run()
        await cancel_and_wait(task)
        assert task.cancelled()
        assert work.ended

    run(story())


def test_a_task_that_never_ran_is_over_too():
    async def story() -> None:
        task = started(Work())
        await cancel_and_wait(task)
        assert task.cancelled()

    run(story())


@pytest.mark.parametrize("error", [None, Broken()], ids=["with a result", "with an error"])
def test_a_task_already_over_is_no_news(error):
    async def story() -> None:
        work = Work(error)
        work.gate.set()
        task = started(work)
        await let_others_run()
        assert task.done()
        await cancel_and_wait(task)

    run(story())


@pytest.mark.parametrize("error", [None, Broken()], ids=["quietly", "with an error"])
def test_a_stubborn_task_is_waited_for(error):
    async def story() -> None:
        work = Stubborn(error)
        task = started(work)
        await let_others_run()
        ending = asyncio.ensure_future(cancel_and_wait(task))
        await let_others_run()
        assert not ending.done()
        work.gate.set()
        await ending
        assert work.ended

    run(story())


@pytest.mark.parametrize("error", [None, Broken()], ids=["quietly", "with an error"])
@pytest.mark.parametrize("times", [1, 2])
def test_it_is_waited_for_also_by_whoever_is_cancelled_meanwhile(times, error):
    async def cancelled_meanwhile() -> None:
        work = Stubborn(error)
        task = started(work)
        await let_others_run()
        ending = asyncio.ensure_future(cancel_and_wait(task))
        for _ in range(times):
            await let_others_run()
            ending.cancel()
        await let_others_run()
        assert not ending.done()
        work.gate.set()
        await asyncio.wait([ending])
        assert ending.cancelled()
        assert task.done()
        assert work.ended

    async def story() -> None:
        await cancelled_meanwhile()
        gc.collect()  # a task that goes with its error unretrieved says so to the loop
        await let_others_run()

    run(story())
