"""Which servers a request would go to, and the line that obeys: the best at once, any of them later."""

import asyncio
import contextlib

import pytest

from shim.admission.preference import NowhereToGo, Preference, anywhere, only
from shim.admission.queue import SlotQueue
from shim.admission.slots import Kind, Waiter
from shim.errors import QueueFull
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.support.series import series
from tests.unit.admission.test_shared import Party


@series(
    ("refused", "servers", "taken"),
    [
        (0b000, (0, 1, 2), [0, 1, 2]),
        (0b000, (1,), [1]),
        (0b010, (0, 1), [0]),
        (0b010, (1,), []),
        (0b000, (), []),
    ],
)
def test_only_some_servers(refused, servers, taken):
    waiter = only(Waiter(1, Kind.SMALL, 0, refused), servers, 3)
    assert [server for server in range(3) if not waiter.avoided >> server & 1] == taken


def test_anywhere():
    assert anywhere(3)(0) == Preference((), range(3))


class Line:
    """Two servers with a slot each; ``wish`` is what every request prefers at the moment."""

    def __init__(self, table):
        self.queue = SlotQueue(2, table=table, clock=loop_time)
        for server in (0, 1):
            self.queue.limit(server, 1)
        self.wish = Preference((), (0, 1))

    async def serve(self, seconds=1.0):
        """Which server served it, and when."""
        with self.queue.place("", None) as place:
            server = await place.take(on_wait=lambda: None, prefer=lambda _avoided: self.wish)
            await asyncio.sleep(seconds)
            return server, loop_time()

    def start(self, seconds=1.0):
        return asyncio.ensure_future(self.serve(seconds))


@pytest.fixture(name="run_line", params=["own", "shared"])
def _run_line(request, tmp_path):
    """Over a table in this process, and over one that others could take part in."""

    def run(scene):
        async def whole(table):
            line = Line(table)
            line.began = loop_time()
            await scene(line)
            assert (line.queue.waiting, line.queue.used(0), line.queue.used(1)) == (0, 0, 0)
            assert line.queue._in_line == {}

        if request.param == "own":
            run_leaping(whole(None))
            return
        with contextlib.closing(Party(tmp_path, 1, 1, count=1)) as party:
            run_leaping(whole(party.tables[0]))

    return run


def test_the_best_that_is_free_is_taken(run_line):
    async def scene(line):
        line.wish = Preference((1, 0), (0, 1))
        served = [await task for task in [line.start(2), line.start(1), line.start()]]
        assert [server for server, _ in served] == [1, 0, 0]

    run_line(scene)


def test_no_wait_for_another_than_was_asked_for(run_line):
    async def scene(line):
        line.wish = Preference((0,), (0,))
        served = await asyncio.gather(line.start(), line.start(), line.start())
        assert [(server, at - line.began) for server, at in served] == [(0, 1), (0, 2), (0, 3)]

    run_line(scene)


def test_those_in_line_are_asked_anew_and_keep_their_places(run_line):
    async def scene(line):
        line.wish = Preference((0,), (0,))
        tasks = [line.start(seconds) for seconds in (10, 5, 1)]
        await let_others_run()
        line.wish = Preference((), (0, 1))
        line.queue.reconsider()
        served = [await task for task in tasks]
        assert [(server, at - line.began) for server, at in served] == [(0, 10), (1, 5), (1, 6)]

    run_line(scene)


def test_one_that_nothing_is_left_for_is_told_so_at_once(run_line):
    async def scene(line):
        line.wish = Preference((0,), (0,))
        holding = line.start(1)
        await let_others_run()
        waiting, leaving = line.start(), line.start()
        await let_others_run()
        assert line.queue.waiting == 2
        leaving.cancel()
        line.wish = Preference((), ())
        line.queue.reconsider()
        with pytest.raises(NowhereToGo):
            await waiting
        with pytest.raises(NowhereToGo):
            await line.start()
        assert loop_time() == line.began
        await holding

    run_line(scene)


def test_one_that_gets_no_place_any_more_is_told_so(run_line):
    async def scene(line):
        holding = line.start(1), line.start(1)
        waiting = line.start()
        await let_others_run()

        def refuse(_waiter):
            raise QueueFull("No row is left.")

        line.queue._table.join = refuse
        line.queue.reconsider()
        with pytest.raises(QueueFull):
            await waiting
        await asyncio.gather(*holding)

    run_line(scene)
