"""A job between the loop and the threads: who holds it, what it waits for, and how it comes back."""

import asyncio
import os
import select
import socket
import threading
import time

import pytest

from shim.job import LONGEST_EXCUSE, LONGEST_STAY, READY, Delay, Holder, Job, Wait
from tests.fakes.application import Gate
from tests.fakes.loops import REAL_LOOPS, let_others_run
from tests.fakes.pumping import FakeClock, cancelled, in_lane, pumping, waits
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


class Scripted(Job):
    """Does on each turn what its script says: an error is raised, a gate waited for, the rest is returned."""

    def __init__(self, poller, *script, events=select.EPOLLIN):
        self.other, self.ours = socket.socketpair()
        self.second_other, self.second_ours = socket.socketpair()
        super().__init__(poller, self.ours.fileno(), events)
        self.second = os.dup(self.second_ours.fileno())
        self.script = list(script)
        self.turns = 0

    def work(self, buffer):
        self.turns += 1
        step = self.script.pop(0)
        if isinstance(step, Gate):
            step.wait()
            step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step(self) if callable(step) else step

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        os.close(self.second)
        for end in (self.other, self.ours, self.second_other, self.second_ours):
            end.close()


def for_second(job):
    return Wait(job.second, select.EPOLLIN)


def for_first(job):
    return Wait(job._descriptor, select.EPOLLIN)


@on_both_loops
def test_a_result(run):
    async def scene(poller):
        with Scripted(poller, None, None, 7) as job:
            job.other.send(b"x")
            assert await job.perform() == 7
            assert (job.turns, job._holder, poller.active) == (3, Holder.LOOP, 0)

    pumping(scene, run=run)


@on_both_loops
def test_an_error(run):
    async def scene(poller):
        with Scripted(poller, None, KeyError("a bug"), 7) as job:
            job.other.send(b"x")
            with pytest.raises(KeyError, match="a bug"):
                await job.perform()
            assert await job.perform() == 7, "it does not stick"

    pumping(scene, run=run)


@on_both_loops
def test_waiting_for_two_sockets_by_turns(run):
    async def scene(poller):
        with Scripted(poller, for_second, for_first, for_second, 7) as job:
            task = asyncio.ensure_future(job.perform())
            await waits(job)
            # What comes on the other one is of no interest now.
            job.second_other.send(b"x")
            await asyncio.sleep(0.02)
            assert (job.turns, poller.active) == (0, 1)
            job.other.send(b"x")
            assert await task == 7
            assert (job.turns, poller.active) == (4, 0)

    pumping(scene, run=run)


def counted(poller):
    """Keep a list of what the poller is asked to wait for."""
    waits_for, watch = [], poller.watch

    def count(worker, descriptor, events):
        waits_for.append(descriptor)
        watch(worker, descriptor, events)

    poller.watch = count
    return waits_for


def ready_after(clock, seconds):
    def step(_job):
        clock.now += seconds
        return READY

    return step


@pytest.mark.parametrize(
    ("threads", "seconds", "times"),
    [(2, 3600, 1), (1, LONGEST_STAY / 3, 1), (1, 3600, 4)],
    ids=["another thread is free", "it is early", "others may wait"],
)
def test_a_thread_stays_with_a_peer_that_is_ahead(threads, seconds, times):
    """It goes by way of the poller only where nobody is free for the others, and after a while."""
    clock = FakeClock()

    async def scene(poller):
        waits_for = counted(poller)
        with Scripted(poller, *[ready_after(clock, seconds)] * 3, 7) as job:
            job.other.send(b"x")
            assert await job.perform() == 7
            assert (job.turns, len(waits_for)) == (4, times)

    pumping(scene, threads=threads, most=threads, clock=clock)


def test_a_late_turn_is_one_turn():
    """The lane's thread has others to serve: who is ahead by then goes back to the poller."""

    async def scene(poller):
        names = []

        def ready(_job):
            names.append(threading.current_thread().name)
            return READY

        with Scripted(poller, Delay(0.0), ready, ready, 7) as job:
            job.other.send(b"x")
            assert await job.perform() == 7
            assert [name.startswith("pump-late") for name in names] == [True, False]

    pumping(scene)


def test_a_thread_that_stays_can_be_called_back():
    async def scene(poller):
        gate = Gate()
        with Scripted(poller, gate, READY, KeyError("a turn too many")) as job:
            job.other.send(b"x")
            task = asyncio.ensure_future(job.perform())
            while not job.turns:
                await asyncio.sleep(0)
            task.cancel()
            await let_others_run()
            gate.open()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (job.turns, job._holder, poller.active) == (1, Holder.LOOP, 0)

    pumping(scene)


@on_both_loops
@series("turns", [0, 1])
def test_called_back_whichever_it_waits_for(run, turns):
    async def scene(poller):
        with Scripted(poller, for_second) as job:
            task = asyncio.ensure_future(job.perform())
            await waits(job)
            if turns:
                job.other.send(b"x")
                while not job.turns:
                    await asyncio.sleep(0)
                await waits(job)
            assert poller.active == 1 + turns
            assert await cancelled(task)
            assert (job._holder, poller.active) == (Holder.LOOP, 0)
            job.second_other.send(b"x")
            job.other.send(b"x")
            await asyncio.sleep(0.02)
            assert job.turns == turns, "nobody waits any more"

    pumping(scene, run=run)


def test_a_second_socket_that_cannot_be_watched():
    async def scene(poller):
        with Scripted(poller, lambda _job: Wait(1 << 20, select.EPOLLIN)) as job:
            job.other.send(b"x")
            with pytest.raises(OSError, match="Bad file descriptor"):
                await job.perform()
            assert (job._holder, poller.active) == (Holder.LOOP, 0)

    pumping(scene)


def test_a_socket_that_cannot_be_watched():
    async def scene(poller):
        with Scripted(poller, 7) as job:
            watch, poller.watch = poller.watch, refuse
            with pytest.raises(OSError, match="no space"):
                await job.perform()
            assert (job._holder, poller.active) == (Holder.LOOP, 0)
            poller.watch = watch
            job.other.send(b"x")
            assert await job.perform() == 7

    pumping(scene)


def refuse(*_args):
    raise OSError(28, "no space")


@on_both_loops
def test_called_back_and_performed_again(run):
    """What a called back turn still has to tell the loop is not taken for the end of the next."""

    async def scene(poller):
        with Scripted(poller, 7, 8) as job:
            task = asyncio.ensure_future(job.perform())
            await waits(job)
            job.other.send(b"x")
            while job._holder is not Holder.LOOP:
                time.sleep(0)  # noqa: ASYNC251 - the loop must not hear of it yet
            task.cancel()
            await asyncio.sleep(0)
            job.ours.recv(1)
            again = asyncio.ensure_future(job.perform())
            await let_others_run()
            assert not again.done()
            job.other.send(b"x")
            assert await again == 8

    pumping(scene, run=run)


def test_a_loop_that_has_its_job_back_is_told_nothing_more():
    """The last word of a thread comes before the loop can know that it holds the job, and end."""

    async def scene(poller):
        with Scripted(poller, 7) as job:
            told = []
            tell = job._loop.call_soon_threadsafe

            class Loop:
                @staticmethod
                def call_soon_threadsafe(call):
                    told.append(job._holder is Holder.LOOP and not job._lock.locked())
                    tell(call)

            job._loop = Loop
            job.other.send(b"x")
            assert await job.perform() == 7
            assert told == [False]

    pumping(scene)


@on_both_loops
def test_cancelled_in_a_turn(run):
    async def scene(poller):
        gate = Gate()
        with Scripted(poller, gate, None) as job:
            task = asyncio.ensure_future(job.perform())
            job.other.send(b"x")
            await gate.reached()
            task.cancel()
            await let_others_run()
            assert not task.done()
            gate.open()
            assert await cancelled(task)
            assert (job._holder, job.turns, poller.active) == (Holder.LOOP, 1, 0)

    pumping(scene, run=run)


def test_time_is_read_and_counted_under_one_lock():
    """A turn that begins just now must not count twice, as time waited before it and as time waited still."""

    async def scene(poller):
        with Scripted(poller, 7) as job:
            read = threading.Event()

            def look():
                assert job.waited == 0
                read.set()

            thread = threading.Thread(target=look)
            with job._lock:
                thread.start()
                assert not read.wait(0.02)
            thread.join()
            assert read.is_set()

    pumping(scene)


def test_time_goes_on_only_while_a_peer_is_waited_for():
    async def scene(poller):
        clock, gate = poller.clock, Gate()
        with Scripted(poller, None, gate, 7) as job:
            clock.now += 100
            task = asyncio.ensure_future(job.perform())
            await waits(job)
            clock.now += 5
            assert job.waited == 5
            job.other.send(b"x")
            await gate.reached()
            clock.now += 100
            assert job.waited == 5
            gate.open()
            assert await task == 7
            assert job.waited == 5

    pumping(scene, clock=FakeClock())


def test_time_in_which_every_thread_is_stuck_is_no_peers():
    """A disk that stalls keeps peers waiting whose bytes are there: that is not their fault."""

    async def scene(poller):
        clock, gate = poller.clock, Gate()
        with Scripted(poller, gate, 7) as stuck, Scripted(poller, 7) as job:
            waiting = asyncio.ensure_future(job.perform())
            await waits(job)
            clock.now += 5
            standing = asyncio.ensure_future(stuck.perform())
            stuck.other.send(b"x")
            await gate.reached()
            job.other.send(b"x")
            clock.now += 100
            assert job.waited == 5
            gate.open()
            assert (await standing, await waiting) == (7, 7)
            assert (stuck.waited, job.waited) == (0, 5)

    pumping(scene, threads=1, most=1, clock=FakeClock())


def test_a_disk_that_is_dead_for_good_lets_nobody_wait_for_ever():
    async def scene(poller):
        clock, gate = poller.clock, Gate()
        with Scripted(poller, gate, 7) as stuck, Scripted(poller, 7) as job:
            waiting = asyncio.ensure_future(job.perform())
            await waits(job)
            standing = asyncio.ensure_future(stuck.perform())
            stuck.other.send(b"x")
            await gate.reached()
            clock.now += LONGEST_EXCUSE
            assert job.waited == 0
            clock.now += 30
            assert job.waited == 30
            assert await cancelled(waiting)
            gate.open()
            assert await standing == 7

    pumping(scene, threads=1, most=1, clock=FakeClock())


def test_a_lane_that_is_stuck_is_no_peers_fault_either():
    async def scene(poller):
        clock, gate = poller.clock, Gate()
        with (
            Scripted(poller, Delay(0.1), gate, 7, events=select.EPOLLOUT) as stuck,
            Scripted(poller, Delay(0.2), 7, events=select.EPOLLOUT) as job,
        ):
            tasks = [asyncio.ensure_future(each.perform()) for each in (stuck, job)]
            await in_lane(stuck)
            await in_lane(job)
            clock.now += 0.1
            await gate.reached()
            clock.now += 100
            gate.open()
            assert [await task for task in tasks] == [7, 7]
            assert job.waited == pytest.approx(0.1)

    pumping(scene, most=1, threads=1, clock=FakeClock())


# -- delays -------------------------------------------------------------------------------------------


@on_both_loops
def test_a_turn_after_a_delay_without_any_event(run):
    async def scene(poller):
        with Scripted(poller, Delay(0.0), Delay(0.0), None, 7) as job:
            job.other.send(b"x")
            assert await job.perform() == 7
            assert (job.turns, job._holder, poller.active) == (4, Holder.LOOP, 0)

    pumping(scene, run=run)


@on_both_loops
def test_called_back_out_of_a_delay(run):
    async def scene(poller):
        with Scripted(poller, Delay(600.0), 7) as job:
            job.other.send(b"x")
            task = asyncio.ensure_future(job.perform())
            await in_lane(job)
            assert await cancelled(task)
            assert (job.turns, job._holder, poller.active) == (1, Holder.LOOP, 0)
            assert await job.perform() == 7, "and nothing of it is left"

    pumping(scene, run=run)


def test_the_time_of_a_delay_counts_when_it_is_over():
    async def scene(poller):
        with Scripted(poller, Delay(0.1), for_second, events=select.EPOLLOUT) as job:
            task = asyncio.ensure_future(job.perform())
            await in_lane(job)
            poller.clock.now += 0.05
            assert job.waited == 0, "what the peer did meanwhile is not known yet"
            poller.clock.now += 3
            await waits(job)
            assert job.waited == pytest.approx(3.05)
            assert await cancelled(task)

    pumping(scene, clock=FakeClock())


def test_a_delay_that_is_not_to_be_had(monkeypatch):
    async def scene(poller):
        monkeypatch.setattr(poller, "delay", lambda _job, _seconds: False)
        with Scripted(poller, Delay(600.0), 7) as job:
            job.other.send(b"x")
            assert await job.perform() == 7, "its socket is waited for instead"

    pumping(scene)
