"""A member of a cloud over a shared server in memory: what it is granted, and what it does alone."""

import asyncio
import contextlib
import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cloud.member import Member, MemberOptions
from shim.cloud.values import Change, CloudLimits, OnLoss, Verdict
from tests.fakes.cloud import TIMEOUT, FakeServer, SharedRows
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.support.examples import examples
from tests.support.series import series

LIFE = 30
ONE = Change("p", 1, 10)


class Cloud:
    """Some members around one server."""

    def __init__(self, *, on_loss=OnLoss.LOCAL, **limits):
        self.rows = SharedRows()
        self.options = MemberOptions(CloudLimits(**limits), LIFE, on_loss)
        self.servers = []

    @contextlib.asynccontextmanager
    async def member(self):
        server = FakeServer(self.rows, f"m{len(self.servers)}", self.options.limits, LIFE)
        self.servers.append(server)
        member = Member(server, self.options, publish=lambda: b"[]", clock=loop_time)
        async with member.present():
            yield member, server
        assert server.closed

    def held(self):
        self.rows.expire(loop_time())
        return self.rows.uploads, self.rows.bytes_of("p")


def test_what_one_holds_the_other_is_refused():
    async def story():
        cloud = Cloud(uploads=3, uploads_of_project=2, bytes_of_project=100)
        async with cloud.member() as (one, _), cloud.member() as (two, _):
            assert await one.take(ONE) is Verdict.FITS
            assert await two.take(Change("p", 1, 91)) is Verdict.BYTES
            assert await two.take(Change("p", 1, 90)) is Verdict.FITS
            assert await one.take(Change("p", 1, 0)) is Verdict.UPLOADS
            assert await one.take(Change("q", 1, 0)) is Verdict.FITS
            assert await two.take(Change("r", 1, 0)) is Verdict.TOTAL
            assert (one.view().uploads, two.view().uploads) == (3, 3)
            one.give_back(ONE)
            await let_others_run()
            assert cloud.held() == (2, 90)
            assert await two.take(Change("r", 1, 0)) is Verdict.FITS
        assert cloud.held() == (0, 0)

    run_leaping(story())


def test_all_that_is_asked_at_once_goes_in_one_turn():
    async def story():
        cloud = Cloud(uploads=70)
        async with cloud.member() as (one, server):
            verdicts = await asyncio.gather(*(one.take(ONE) for _ in range(100)))
            assert Counter(verdicts) == {Verdict.FITS: 70, Verdict.TOTAL: 30}
            assert len(server.calls) == 2

    run_leaping(story())


def test_leases_live_as_long_as_their_process_and_no_longer():
    async def story():
        cloud = Cloud()
        async with cloud.member() as (one, server):
            await one.take(ONE)
            for _ in range(3600):
                await asyncio.sleep(1)
                assert cloud.held() == (1, 10)
            assert len(server.calls) == 2 + 360
            # A process that stands still says nothing.
            server.fault = "refuses"
            await asyncio.sleep(LIFE + 1)
            assert cloud.held() == (0, 0)

    run_leaping(story())


@pytest.mark.parametrize("on_loss", OnLoss)
def test_a_server_that_hangs_costs_one_deadline_for_all(on_loss, caplog):
    async def story():
        cloud = Cloud(on_loss=on_loss, uploads=1)
        async with cloud.member() as (one, server):
            await one.take(ONE)
            server.fault, began, calls = "hangs", loop_time(), len(server.calls)
            verdicts = await asyncio.gather(*(one.take(ONE) for _ in range(50)))
            assert loop_time() - began == pytest.approx(TIMEOUT)
            alone = Verdict.FITS if on_loss is OnLoss.LOCAL else None
            assert verdicts == [alone] * 50
            # From here on nobody waits, and uploads under way go on in any case.
            began = loop_time()
            assert [await one.take(ONE) for _ in range(50)] == [alone] * 50
            assert await one.take(Change("p", 0, 5), is_under_way=True) is Verdict.FITS
            assert loop_time() == began
            assert len(server.calls) == calls + 1
            await asyncio.sleep(300)
            assert len(server.calls) < 45
            assert (one.view().is_there, one.view().reason) == (False, "no answer within 0.25 s")
            with pytest.raises(Exception, match="no answer"):
                await one.published()

    with caplog.at_level(logging.INFO, "shim.cloud"):
        run_leaping(story())
    told = [record.message for record in caplog.records if "away" in record.message]
    assert len(told) == 1
    assert ("only the limits of this shim hold" if on_loss is OnLoss.LOCAL else "refused") in told[0]


def test_what_was_let_in_alone_is_declared_when_the_server_is_back():
    async def story():
        cloud = Cloud(uploads=2)
        async with cloud.member() as (one, server), cloud.member() as (two, _):
            server.fault = "refuses"
            for _ in range(5):
                assert await one.take(ONE) is Verdict.FITS
            one.give_back(ONE)
            server.fault = ""
            await asyncio.sleep(LIFE / 3 + 1)
            assert one.view().is_there
            assert cloud.held() == (4, 40)
            # More than allowed, and so nothing new, until enough of them have ended.
            assert await two.take(ONE) is Verdict.TOTAL
            for _ in range(3):
                one.give_back(ONE)
            await let_others_run()
            assert await two.take(ONE) is Verdict.FITS

    run_leaping(story())


@pytest.mark.parametrize("asked", [False, True])
def test_leases_that_were_lost_are_taken_anew(asked):
    async def story():
        cloud = Cloud(uploads=2)
        async with cloud.member() as (one, _):
            await one.take(ONE)
            # A process that slept too long, or a server that has forgotten all.
            cloud.rows.rows.clear()
            if asked:
                assert await one.take(ONE) is Verdict.FITS
                assert await one.take(ONE) is Verdict.TOTAL
            await asyncio.sleep(LIFE / 3 + 1)
            assert cloud.held() == ((2, 20) if asked else (1, 10))

    run_leaping(story())


def test_a_turn_that_was_heard_and_not_answered_is_not_counted_twice():
    async def story():
        cloud = Cloud(on_loss=OnLoss.REFUSE)
        async with cloud.member() as (one, server):
            server.fault = "deaf"
            assert await one.take(ONE) is None
            assert cloud.held() == (1, 10)
            server.fault = ""
            await asyncio.sleep(1)
            assert cloud.held() == (0, 0)

    run_leaping(story())


@series("turns", range(6))
def test_who_is_cancelled_holds_nothing(turns):
    async def story():
        cloud = Cloud()
        async with cloud.member() as (one, server):
            server.delay = 0.1 if turns > 2 else 0
            task = asyncio.ensure_future(one.take(ONE))
            await let_others_run(turns)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
                one.give_back(ONE)
            await asyncio.sleep(LIFE)
            assert cloud.held() == (0, 0)

    run_leaping(story())


def test_at_the_end_nobody_waits_for_an_answer():
    async def story():
        cloud = Cloud()
        async with cloud.member() as (one, server):
            server.delay = 10
            waiting = asyncio.ensure_future(one.take(ONE))
            await let_others_run()
        assert await waiting is Verdict.FITS
        assert cloud.held() == (0, 0)

    run_leaping(story())


def test_a_fault_of_ours_leaves_nobody_waiting(caplog):
    async def story():
        cloud = Cloud()
        async with cloud.member() as (one, server):
            server.take_turn = None
            assert await one.take(ONE) is Verdict.FITS
            assert await one.take(ONE) is Verdict.FITS
            assert not one.view().is_there

    run_leaping(story())
    assert "for a fault of the shim" in caplog.text


members = st.integers(0, 1)
steps = st.lists(
    st.tuples(st.just("take"), members, st.sampled_from("pq"), st.integers(0, 60))
    | st.tuples(st.just("give_back"), members, st.integers(0, 5))
    | st.tuples(st.just("fault"), members, st.sampled_from(["", "", "refuses", "hangs", "deaf"]))
    | st.tuples(st.just("delay"), members, st.sampled_from([0, 0.1]))
    | st.tuples(st.just("cancel"), members, st.sampled_from("pq"), st.integers(0, 4))
    | st.tuples(st.just("forget"))
    | st.tuples(st.just("sleep"), st.sampled_from([0.05, 1, 20, 70])),
    max_size=30,
)


class Script:
    """Two members, and what happens to them; it knows what each holds."""

    def __init__(self, cloud, one, two):
        self.cloud = cloud
        self.members = [one, two]
        self.held = ([], [])

    async def take(self, which, project, size):
        change = Change(project, 1, size)
        if await self.members[which][0].take(change) is Verdict.FITS:
            self.held[which].append(change)

    async def give_back(self, which, number):
        if held := self.held[which]:
            self.members[which][0].give_back(held.pop(number % len(held)))

    async def cancel(self, which, project, turns):
        task = asyncio.ensure_future(self.take(which, project, 7))
        await let_others_run(turns)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def fault(self, which, kind):
        self.members[which][1].fault = kind

    async def delay(self, which, seconds):
        self.members[which][1].delay = seconds

    async def forget(self):
        self.cloud.rows.rows.clear()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)

    async def heal(self):
        for which in (0, 1):
            await self.fault(which, "")
            await self.delay(which, 0)
        await asyncio.sleep(LIFE)


@examples(60)
@given(steps, st.sampled_from(OnLoss))
def test_in_the_end_the_server_knows_what_is_held_whatever_happened(steps, on_loss):
    async def story():
        cloud = Cloud(on_loss=on_loss, uploads=6, uploads_of_project=4, bytes_of_project=100)
        async with cloud.member() as one, cloud.member() as two:
            script = Script(cloud, one, two)
            for step, *values in steps:
                await getattr(script, step)(*values)
            await script.heal()
            held = [*script.held[0], *script.held[1]]
            assert cloud.rows.uploads == len(held)
            for project in "pq":
                assert cloud.rows.bytes_of(project) == sum(c.size for c in held if c.project == project)

    run_leaping(story())
