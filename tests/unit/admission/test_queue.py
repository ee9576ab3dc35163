"""Waiting for a slot: every wait has an end with a name, and whatever the end, the slot goes to the next."""

import asyncio
import contextlib
import itertools

import pytest

from shim.admission.queue import UPLOAD_FROM, SlotQueue
from shim.admission.room import QueueOptions, WaitingRoom
from shim.errors import QueueFull, QueueTimeout
from shim.ledger.counts import Limits
from shim.timing import UNLIMITED
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.support.series import series

LARGE = UPLOAD_FROM + 1


class Line:
    """A queue on leaping time, and what became of each request."""

    def __init__(self, *slots, share=0.75, room=None, **options):
        waits = QueueOptions(**options)
        self.room = room or WaitingRoom(waits.most)
        self.queue = SlotQueue(len(slots), upload_share=share, options=waits, room=self.room, clock=loop_time)
        for server, limit in enumerate(slots):
            self.queue.limit(server, limit)
        self.waited, self.served = [], []

    async def serve(self, name, *, seconds=0.0, until=None, project="", length=None):
        """One request from its place to its end; which server served it."""
        with self.queue.place(project, length) as place:
            server = await place.take(on_wait=lambda: self.waited.append(name))
            self.served.append(name)
            await asyncio.sleep(seconds)
            if until is not None:
                await until.wait()
            return server

    def start(self, name, **options):
        return asyncio.ensure_future(self.serve(name, **options))

    def check_nothing_is_held(self):
        assert self.queue.waiting == 0
        assert self.room.waiting == 0
        assert self.queue._turns == {}
        assert [self.queue.used(server) for server in range(len(self.queue._slots))] == [0] * len(
            self.queue._slots
        )


def run_line(scene, *slots, **options):
    async def whole():
        line = Line(*slots, **options)
        await scene(line)
        line.check_nothing_is_held()

    run_leaping(whole())


def test_without_a_limit_nobody_waits():
    async def scene(line):
        await asyncio.gather(*(line.serve(number, seconds=1) for number in range(50)))
        assert line.waited == []

    run_line(scene, UNLIMITED)


def test_only_who_finds_no_slot_waits():
    async def scene(line):
        await asyncio.gather(*(line.serve(number, seconds=1) for number in range(5)))
        assert (line.served, line.waited) == ([0, 1, 2, 3, 4], [2, 3, 4])
        assert loop_time() == 1003

    run_line(scene, 2)


def test_small_requests_pass_uploads():
    async def scene(line):
        over = asyncio.Event()
        uploads = [line.start(f"upload {number}", until=over, length=LARGE) for number in range(5)]
        await let_others_run()
        for number in range(5):
            await line.serve(f"small {number}", length=UPLOAD_FROM if number % 2 else None)
        assert line.served == ["upload 0", *(f"small {number}" for number in range(5))]
        assert (line.queue.waiting, line.queue.used(0)) == (4, 1)
        over.set()
        await asyncio.gather(*uploads)

    run_line(scene, 2)


def test_projects_take_turns():
    async def scene(line):
        greedy = [line.start(f"greedy {n}", seconds=10, project="a", length=LARGE) for n in range(20)]
        await let_others_run()
        await line.serve("modest", project="b", length=LARGE)
        assert line.served == ["greedy 0", "modest"]
        await asyncio.gather(*greedy)

    run_line(scene, 2)


def test_a_server_that_is_free():
    async def scene(line):
        over = asyncio.Event()
        held = [line.start(number, until=over) for number in range(4)]
        await let_others_run()
        assert [line.queue.used(server) for server in (0, 1)] == [1, 3]
        over.set()
        assert await asyncio.gather(*held) == [0, 1, 1, 1]

    run_line(scene, 1, 3)


# -- how waiting ends -----------------------------------------------------------------------------


@series(("length", "patience"), [(None, 60), (0, 3600), (1, 3600), (LARGE, 3600), (UNLIMITED, 3600)])
def test_a_wait_has_its_end(length, patience):
    async def scene(line):
        over = asyncio.Event()
        first = line.start("first", until=over)
        await let_others_run()
        began = loop_time()
        with pytest.raises(QueueTimeout) as raised:
            await line.serve("late", length=length)
        assert loop_time() - began == patience
        # Next in line, and nothing came free for all that time.
        assert raised.value.retry_after == patience
        over.set()
        await first
        assert line.served == ["first"]

    run_line(scene, 1)


def test_the_line_has_its_end():
    async def scene(line):
        over = asyncio.Event()
        held = [line.start(number, until=over) for number in range(4)]
        await asyncio.sleep(7)
        with pytest.raises(QueueFull) as raised:
            await line.serve("too many")
        # Its place would be the fourth, and the first has not moved up for 7 s.
        assert raised.value.retry_after == 28
        over.set()
        await asyncio.gather(*held)
        assert line.waited == [1, 2, 3]

    run_line(scene, 1, most=3)


def test_a_full_line_is_no_matter_to_whom_finds_a_slot():
    async def scene(line):
        over = asyncio.Event()
        held = [line.start(number, until=over, length=LARGE) for number in range(3)]
        await let_others_run()
        assert line.room.waiting == line.room.limit
        await line.serve("small")
        over.set()
        await asyncio.gather(*held)

    run_line(scene, 2, most=2)


def test_retry_after_follows_what_goes_on():
    async def scene(line):
        busy = [line.start(number, seconds=3) for number in range(10)]
        await asyncio.sleep(20)
        line.room._pool.limits = Limits(3)
        with pytest.raises(QueueFull) as raised:
            await line.serve("too many")
        # Three still wait, and six slots came free in 20 s: the fourth is due in 13.3 s.
        assert raised.value.retry_after == 14
        await asyncio.gather(*busy)

    run_line(scene, 1)


def test_one_limit_for_all_lines():
    async def scene(line):
        other, over = Line(1, room=line.room), asyncio.Event()
        held = [line.start(0, until=over), line.start(1, until=over), other.start(2, until=over)]
        await let_others_run()
        with pytest.raises(QueueFull):
            await other.serve("too many")
        over.set()
        await asyncio.gather(*held)
        other.check_nothing_is_held()

    run_line(scene, 1, room=WaitingRoom(1))


# -- slots that come and go -----------------------------------------------------------------------


def test_a_limit_learnt_while_some_wait():
    async def scene(line):
        over = asyncio.Event()
        held = [line.start(number, until=over) for number in range(5)]
        await let_others_run()
        assert (line.queue.waiting, line.queue.slots(0)) == (4, 1)
        line.queue.limit(0, 3)
        await let_others_run()
        assert (line.queue.waiting, line.queue.slots(0)) == (2, 3)
        over.set()
        await asyncio.gather(*held)

    run_line(scene, 1)


def test_slots_that_are_lost_for_a_while():
    async def scene(line):
        line.queue.lose(0, 2)
        late = line.start("late")
        await let_others_run()
        assert (line.queue.waiting, line.queue.used(0), line.queue.slots(0)) == (1, 2, 2)
        line.queue.lose(0, 1)
        assert await late == 0
        line.queue.lose(0, 0)

    run_line(scene, 2)


# -- servers that refuse --------------------------------------------------------------------------


def test_a_refused_request_tries_every_server_once():
    async def scene(line):
        with line.queue.place("", None) as place:
            seen = []
            for _ in range(2):
                for _server in range(3):
                    seen.append(await place.take(on_wait=lambda: None))
                    place.refuse()
                assert place.avoided == 0b111
                assert [line.queue.used(server) for server in range(3)] == [0, 0, 0]
                place.start_over()
            assert seen == [0, 1, 2] * 2

    run_line(scene, 1, 1, 1)


def test_waits_of_one_request_have_one_limit():
    async def scene(line):
        over = asyncio.Event()
        other = line.start("other", seconds=40)
        await let_others_run()
        with line.queue.place("", None) as place:
            assert await place.take(on_wait=lambda: None) == 0
            place.refuse()
            third = line.start("third", until=over)
            place.start_over()
            await let_others_run()
            began = loop_time()
            with pytest.raises(QueueTimeout):
                await place.take(on_wait=lambda: None)
            assert loop_time() - began == 20
        over.set()
        await asyncio.gather(other, third)

    run_line(scene, 1)


# -- cancellation ---------------------------------------------------------------------------------


@series("turns", range(8))
@series("times", [1, 2])
def test_cancelled_at_any_turn(turns, times):
    """Waiting, just given its slot, or with it: the next one gets it."""

    async def scene(line):
        over = asyncio.Event()
        first = line.start("first", until=over)
        await let_others_run()
        second, third = line.start("second", seconds=1), line.start("third")
        await let_others_run(2)
        over.set()
        await let_others_run(turns)
        for _ in range(times):
            second.cancel()
            await let_others_run(1)
        with contextlib.suppress(asyncio.CancelledError):
            await second
        await asyncio.gather(first, third)
        assert line.served[-1] == "third"

    run_line(scene, 1)


def test_cancelled_in_the_moment_of_its_turn():
    """Its slot was given to it before the cancellation, and it had not run yet."""

    async def scene(line):
        over = asyncio.Event()
        first = line.start("first", until=over)
        await let_others_run()
        second, third = line.start("second"), line.start("third")
        await let_others_run()
        line.queue.limit(0, 2)
        second.cancel()
        await third
        assert second.cancelled()
        assert line.served == ["first", "third"]
        over.set()
        await first

    run_line(scene, 1)


def test_a_timeout_and_a_slot_at_the_same_time():
    async def scene(line):
        held = line.start("held", seconds=60)
        await let_others_run()
        late = [line.start(f"late {number}") for number in range(2)]
        results = await asyncio.gather(*late, return_exceptions=True)
        # Whichever the loop sees first; none is lost, and nothing stays held.
        assert all(result == 0 or isinstance(result, QueueTimeout) for result in results)
        await held

    run_line(scene, 1)


def test_who_gave_up_is_out_of_line_at_once():
    """Also where its place is still in use: the next slot is another's."""

    async def scene(line):
        over = asyncio.Event()
        held = line.start("held", until=over)
        await let_others_run()
        with line.queue.place("", None) as place:
            with pytest.raises(QueueTimeout):
                await place.take(on_wait=lambda: None)
            assert line.queue.waiting == 0
            next_one = line.start("next")
            over.set()
            await asyncio.gather(held, next_one)

    run_line(scene, 1)


@series("order", list(itertools.permutations(range(4))))
def test_leaving_in_any_order(order):
    async def scene(line):
        over = asyncio.Event()
        tasks = [line.start(number, until=over) for number in range(4)]
        await let_others_run()
        for number in order:
            tasks[number].cancel()
            await let_others_run()
            assert line.queue.used(0) + line.queue.waiting == 4 - order.index(number) - 1
        await asyncio.wait(tasks)

    run_line(scene, 2)


def test_a_queue_describes_itself():
    async def scene(line):
        assert repr(line.queue).startswith("<SlotQueue: 0 waiting, <LocalTable: 0 held, 0 waiting")

    run_line(scene, 1)
