"""What is known of a server's size: asked in time, not too often, by one at a time, and never forgotten."""

import asyncio
import logging

import pytest

from shim.errors import UpstreamRefused
from shim.upstream.size_watch import LEAST_AGE, MOST_AGE, SizeWatch
from tests.fakes.loops import let_others_run, loop_time, run_leaping

REFUSED = UpstreamRefused("refused", for_operator="No connection to 127.0.0.1:9191: refused.")


class Watched:
    """A watch over scripted answers; the last one is repeated."""

    def __init__(self, *answers, takes=0.0):
        self.answers = list(answers)
        self.takes = takes
        self.asked = 0
        self.told = []
        self.watch = SizeWatch("glance", self.read, self.told.append, clock=loop_time)

    async def read(self):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.takes)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run_watch(scene, *answers, **options):
    async def whole():
        watched = Watched(*answers, **options)
        await scene(watched)
        return watched

    return run_leaping(whole())


def test_asked_before_the_first_request_and_then_now_and_again():
    async def scene(watched):
        for age, asked in [(0, 1), (0, 1), (MOST_AGE - 0.1, 1), (0.1, 2), (MOST_AGE, 3)]:
            await asyncio.sleep(age)
            await watched.watch.refresh()
            assert watched.asked == asked

    assert run_watch(scene, 4, 4, 6).told == [4, 4, 6]


def test_all_wait_for_the_first_answer_and_one_asks():
    async def scene(watched):
        await asyncio.gather(*(watched.watch.refresh() for _ in range(20)))
        assert (watched.asked, watched.told, loop_time()) == (1, [4], 1001)

    run_watch(scene, 4, takes=1)


def test_later_only_the_one_that_asks_waits():
    async def scene(watched):
        await watched.watch.refresh()
        await asyncio.sleep(MOST_AGE)
        asking = asyncio.ensure_future(watched.watch.refresh())
        await let_others_run()
        before = loop_time()
        await asyncio.gather(*(watched.watch.refresh() for _ in range(20)))
        assert (loop_time(), watched.told) == (before, [4])
        await asking
        assert (watched.asked, watched.told) == (2, [4, 5])

    run_watch(scene, 4, 5, takes=1)


def test_one_that_asks_and_leaves_is_followed_by_another():
    async def scene(watched):
        first, second = (asyncio.ensure_future(watched.watch.refresh()) for _ in range(2))
        await let_others_run()
        first.cancel()
        await second
        assert first.cancelled()
        assert (watched.asked, watched.told) == (2, [5])

    run_watch(scene, 4, 5, takes=1)


def test_a_refused_connection_makes_it_doubtful():
    async def scene(watched):
        await watched.watch.refresh()
        watched.watch.doubt()
        await asyncio.sleep(LEAST_AGE - 0.1)
        await watched.watch.refresh()
        assert watched.asked == 1, "a server that is away is not asked each moment"
        await asyncio.sleep(0.1)
        await watched.watch.refresh()
        assert watched.told == [4, 2]
        await asyncio.sleep(MOST_AGE - 0.1)
        await watched.watch.refresh()
        assert watched.asked == 2, "the doubt is over"

    run_watch(scene, 4, 2)


@pytest.mark.parametrize(("first", "told"), [(4, "4, the last known"), (REFUSED, "no limit")])
def test_a_failure_is_told_once_and_changes_nothing(first, told, caplog):
    async def scene(watched):
        for _ in range(5):
            await watched.watch.refresh()
            await asyncio.sleep(MOST_AGE)

    caplog.set_level(logging.INFO, "shim.upstream")
    watched = run_watch(scene, first, REFUSED, REFUSED, REFUSED, 4)
    assert watched.told == ([4, 4] if first == 4 else [4])
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    said = f"upstream glance: its stats server does not tell how much it takes; going on with {told}: "
    assert warnings == [said + REFUSED.for_operator]
    # That it is there again is told too.
    assert caplog.records[-1].getMessage() == "upstream glance: each server takes 4 requests at once"
