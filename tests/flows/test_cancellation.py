"""Requests that are cut off from outside, as by the end of a drain: at any moment, also twice."""

import asyncio

from shim.app.stopping import Canceller
from shim.errors import UpstreamRefused
from tests.fakes.flow import get, put
from tests.fakes.loops import let_others_run
from tests.fakes.stream import EOF, FakeStream, answer
from tests.support.series import series

LARGE = [b"x" * 50] * 10
HALF = answer(200, b"fo", framing=b"Content-Length: 6")


def stream(*script, **options):
    return lambda: FakeStream(*script, **options)


MOMENTS = [
    ("receiving", (*LARGE, 1000, b"x"), [], {}),
    ("trying", tuple(LARGE), [lambda: UpstreamRefused("refused")] * 200, {"retry": 1000}),
    ("in line", tuple(LARGE), [], {"slots": 0}),
    ("sending", tuple(LARGE), [stream(stalls_after=200)], {}),
    ("waiting", tuple(LARGE), [stream()], {}),
    ("half a head", tuple(LARGE), [stream(b"HTTP/1.1 2")], {}),
    ("relaying", tuple(LARGE), [stream(HALF)], {}),
]


@series("times", [1, 2, 3])
@series(("script", "outcomes", "options"), [case[1:] for case in MOMENTS])
def test_while_it_waits(run_flow, script, outcomes, options, times):
    async def scene(flow):
        client, scope = put(*script)
        task = flow.start(client, scope)
        await asyncio.sleep(1)
        assert not task.done()
        for _ in range(times):
            task.cancel()
            await let_others_run(times)
        await asyncio.wait([task])
        assert task.cancelled()
        assert not client.is_answered

    run_flow(scene, *[make() for make in outcomes], **options)


@series(("moment", "script", "outcomes", "options"), MOMENTS)
def test_by_an_operator(run_flow, moment, script, outcomes, options):
    """The client is told, where its answer has not begun; all is given back (run_flow looks)."""

    async def scene(flow):
        client, scope = put(*script)
        task = flow.start(client, scope)
        await asyncio.sleep(1)
        (record,) = flow.journal.live()
        canceller = Canceller(flow.journal)
        assert canceller.cancel(record.serial, "uid 0")
        assert not canceller.cancel(record.serial, "uid 0"), "once is enough"
        is_answered = await task
        assert flow.refusals == {"cancelled": 1}
        assert is_answered == (moment != "relaying")
        if is_answered:
            assert (client.status, client.body.count(b"An operator has ended this upload")) == (403, 1)
            assert (b"nothing of it was stored" in client.body) == (
                moment in ("receiving", "trying", "in line")
            )
        assert not canceller.cancel(record.serial, "uid 0")

    run_flow(scene, *[make() for make in outcomes], **options)


def test_by_an_operator_and_by_the_end_of_a_drain(run_flow):
    async def scene(flow):
        client, scope = put(*MOMENTS[0][1])
        task = flow.start(client, scope)
        await asyncio.sleep(1)
        assert Canceller(flow.journal).cancel(1, "uid 0")
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_flow(scene)


@series("times", [1, 2, 3])
@series("call", ["check", "create", "write", "read", "close"])
def test_while_the_disk_is_slow(run_flow, call, times):
    async def scene(flow):
        gate = flow.disk.hold(call)
        client, scope = put(*LARGE, length=500)
        task = flow.start(client, scope)
        await flow.disk.until(call)
        for _ in range(times):
            task.cancel()
            await let_others_run(20)
        assert flow.budget.leased == (0 if call == "check" else 500)
        gate.set()
        await asyncio.wait([task])
        assert task.cancelled()

    run_flow(scene, FakeStream(answer()))


@series("turns", range(60))
@series("times", [1, 2])
def test_at_any_turn(run_flow, turns, times):
    async def scene(flow):
        client, scope = put(*LARGE)
        task = flow.start(client, scope)
        await let_others_run(turns)
        for _ in range(times):
            task.cancel()
            await let_others_run(1)
        await asyncio.wait([task])
        assert task.cancelled() or client.is_answered

    run_flow(scene, FakeStream(answer(200, b"ok"), EOF))


@series("turns", range(0, 60, 3))
def test_while_the_client_leaves(run_flow, turns):
    async def scene(flow):
        client, scope = put(*LARGE)
        task = flow.start(client, scope)
        await let_others_run(turns)
        client.leaves.set()
        task.cancel()
        await asyncio.wait([task])
        # Whichever is seen first; a request that is over by then is just over.
        assert task.cancelled() or not task.result() or client.is_answered

    run_flow(scene, FakeStream(answer()))


def test_without_a_body(run_flow):
    async def scene(flow):
        client, scope = get()
        task = flow.start(client, scope)
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_flow(scene, FakeStream())
