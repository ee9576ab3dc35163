"""The client's side of a request: it leaves early, late, or in the very moment in which all is done."""

import asyncio
import contextlib
import itertools

import pytest

from shim.admission.gate import UploadGate
from shim.admission.limits import BodyPace
from shim.errors import BadFraming, BodyIdleTimeout, ClientGone, UpstreamClosed
from shim.observe.journal import Record
from shim.proxy.client_side import ClientSide
from shim.proxy.receive import BodyReceiver
from shim.spool.body import Body, BodyState
from shim.timing import UNLIMITED
from tests.fakes.client import GONE, FakeClient
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, loop_time, run_leaping, stays_quiet
from tests.support.series import series


async def after_turns(turns, event):
    await let_others_run(turns)
    event.set()


class Leaving:
    """A client that leaves when told; its server is asked for that by ``receive()``, or tells it."""

    tells = False

    def __init__(self):
        self.left = _Left()

    async def receive(self):
        assert not self.tells, "who is told need not ask"
        await self.left.wait()
        return {"type": "http.disconnect"}

    def watch_client(self, on_leaving):
        self.left.on_leaving = on_leaving
        if self.left.is_set() and on_leaving is not None:
            on_leaving()


class _Left(asyncio.Event):
    on_leaving = None

    def set(self):
        super().set()
        if self.on_leaving is not None:
            self.on_leaving()


@pytest.fixture(params=[False, True], ids=["asked", "told"], autouse=True)
def way(request, monkeypatch):
    """How the leaving of a client becomes known."""
    monkeypatch.setattr(Leaving, "tells", request.param)


def side_of(client):
    return ClientSide(client.receive, watch_client=client.watch_client if client.tells else None)


def test_a_client_that_stays():
    async def scene():
        client = Leaving()
        async with side_of(client):
            await let_others_run()
        await stays_quiet()

    run_leaping(scene())


def test_what_else_it_sends_is_not_its_leaving():
    async def scene():
        client = FakeClient(b"late", b"bytes", 1, b"more")
        async with ClientSide(client.receive):
            await asyncio.sleep(10)
        await stays_quiet()

    run_leaping(scene())


def test_a_client_that_leaves():
    steps = []

    async def serve(client):
        async with side_of(client):
            try:
                client.left.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5)  # giving back takes its time
                steps.append("given back")

    async def scene():
        with pytest.raises(ClientGone):
            await serve(Leaving())
        steps.append("told")
        await stays_quiet()

    run_leaping(scene())
    assert steps == ["given back", "told"]


def test_a_client_that_has_left_before():
    async def scene():
        with pytest.raises(ClientGone):
            async with ClientSide(FakeClient(GONE).receive):
                await asyncio.Event().wait()
        await stays_quiet()

    run_leaping(scene())


def test_a_block_that_fails_first():
    async def scene():
        client = Leaving()
        with pytest.raises(UpstreamClosed):
            async with side_of(client):
                raise UpstreamClosed("closed")
        await stays_quiet()

    run_leaping(scene())


def test_a_receive_that_fails_says_nothing_of_leaving():
    async def scene():
        async with ClientSide(FakeClient(BadFraming("malformed")).receive):
            await let_others_run()
        await stays_quiet()

    run_leaping(scene())


@series(("turns_to_leave", "turns_to_end"), list(itertools.product(range(7), range(7))))
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_leaving_and_ending_at_about_the_same_time(turns_to_leave, turns_to_end, fails):
    """Either it was done before, and is a success, or the client has gone; the rest is never touched."""
    served = []

    async def serve(client, over):
        async with side_of(client):
            await over.wait()
            served.append(True)
            if fails:
                raise UpstreamClosed("closed")

    async def scene():
        client, over = Leaving(), asyncio.Event()
        tasks = [
            asyncio.ensure_future(after_turns(turns_to_leave, client.left)),
            asyncio.ensure_future(after_turns(turns_to_end, over)),
        ]
        try:
            await serve(client, over)
        except ClientGone:
            assert not served
        except UpstreamClosed:
            assert fails
        else:
            assert served
        # The file's closing, say: not to be hit by a cancellation that is meant for the block.
        await stays_quiet()
        await asyncio.wait(tasks)

    run_leaping(scene())


@series("turns_to_leave", range(5))
@series("turns_to_cancel", range(5))
def test_cancelled_from_outside(turns_to_leave, turns_to_cancel):
    """Whatever the client does at that time: it stays a cancellation, or the client had gone before."""

    async def serve(client):
        async with side_of(client):
            await asyncio.Event().wait()

    async def scene():
        client = Leaving()
        task = asyncio.ensure_future(serve(client))
        await let_others_run()
        leaving = asyncio.ensure_future(after_turns(turns_to_leave, client.left))
        await let_others_run(turns_to_cancel)
        was_over = task.done()
        task.cancel()
        await asyncio.wait([task, leaving])
        if was_over:
            assert isinstance(task.exception(), ClientGone)
        else:
            assert task.cancelled()

    run_leaping(scene())


def test_cancelled_from_outside_with_the_client_still_there():
    async def serve(client):
        async with side_of(client):
            await asyncio.Event().wait()

    async def scene():
        task = asyncio.ensure_future(serve(Leaving()))
        await let_others_run()
        task.cancel()
        await let_others_run()
        assert task.cancelled()

    run_leaping(scene())


def test_cancelled_twice_while_giving_back():
    async def serve(client, given_back):
        async with side_of(client):
            try:
                await asyncio.Event().wait()
            finally:
                await given_back.wait()

    async def scene():
        client, given_back = Leaving(), asyncio.Event()
        task = asyncio.ensure_future(serve(client, given_back))
        await let_others_run()
        client.left.set()
        await let_others_run()
        assert not task.done()
        task.cancel()
        await let_others_run()
        assert task.cancelled()

    run_leaping(scene())


def test_deadlines_inside_and_outside_are_their_own():
    async def scene():
        async with side_of(Leaving()):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), side_of(Leaving()):
                await asyncio.Event().wait()
        async with asyncio.timeout(1):
            with pytest.raises(ClientGone):
                async with ClientSide(FakeClient(GONE).receive):
                    await asyncio.Event().wait()
            await stays_quiet()

    run_leaping(scene())


# -- with a body that still comes in --------------------------------------------------------------


class Uploading:
    """A client whose body comes in while the block runs: its end, its failure or its leaving are told."""

    def __init__(self, *script):
        self.client = FakeClient(*script)
        self.body = Body(FakeDisk().create, memory_limit=1000)
        self.gate = UploadGate(1)

    @contextlib.asynccontextmanager
    async def side(self):
        with self.gate.ticket() as ticket:
            receiver = BodyReceiver(
                self.client.receive,
                self.body,
                declared=None,
                pace=BodyPace(idle=60, total=UNLIMITED, min_rate=0),
                ticket=ticket,
                record=Record("req-1", "PUT", "/", "192.0.2.7", 0.0),
                clock=loop_time,
            )
            async with ClientSide(self.client.receive, receiver) as side:
                yield side

    @property
    def left(self):
        """What of the script was not received."""
        return self.client._script


def test_a_body_comes_in_while_the_block_runs():
    async def scene():
        upload = Uploading(b"foo", 5, b"bar")
        async with upload.side() as side:
            assert not side.is_body_whole
            assert await upload.body.read(0, 10) == b"foo"
            await side.wait_until_whole()
            assert side.is_body_whole
            await side.wait_until_whole()
            assert await upload.body.read(0, 10) == b"foobar"
        await stays_quiet()

    run_leaping(scene())


def test_one_that_is_whole_already_is_not_taken_again():
    async def scene():
        upload = Uploading()
        await upload.body.seal()
        async with upload.side() as side:
            assert side.is_body_whole
            await side.wait_until_whole()
            await let_others_run()
        assert upload.body.received == 0
        await stays_quiet()

    run_leaping(scene())


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ((GONE,), ClientGone),
        ((BadFraming("malformed"),), BadFraming),
        ((61, b"late"), BodyIdleTimeout),
        ((ConnectionResetError("reset"),), ClientGone),
    ],
    ids=["gone", "malformed", "idle", "reset"],
)
def test_a_body_that_fails_ends_the_block(end, error):
    async def scene():
        upload = Uploading(b"foo", *end)
        with pytest.raises(error):
            async with upload.side() as side:
                await side.wait_until_whole()
        assert upload.body.state is BodyState.FAILED
        await stays_quiet()

    run_leaping(scene())


def test_a_client_that_leaves_after_its_body():
    async def scene():
        upload = Uploading(b"foobar", b"")
        with pytest.raises(ClientGone):  # noqa: PT012 - the block is what is ended
            async with upload.side() as side:
                await side.wait_until_whole()
                upload.client.leaves.set()
                await asyncio.Event().wait()
        assert upload.body.is_whole
        await stays_quiet()

    run_leaping(scene())


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_a_block_that_is_done_first_takes_no_more(fails):
    async def serve(upload):
        async with upload.side():
            await upload.body.read(0, 10)
            if fails:
                raise UpstreamClosed("closed")

    async def scene():
        upload = Uploading(b"foo", 5, b"bar")
        with pytest.raises(UpstreamClosed) if fails else contextlib.nullcontext():
            await serve(upload)
        await asyncio.sleep(50)
        assert (upload.body.received, upload.body.state) == (3, BodyState.GROWING)
        await stays_quiet()

    run_leaping(scene())


BODY_ENDS = {
    "whole": (),
    "malformed": (BadFraming("malformed"),),
    "gone": (GONE,),
}


@series("end", BODY_ENDS)
@series(("turns_of_body", "turns_of_block"), list(itertools.product(range(7), range(7))))
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_body_and_block_ending_at_about_the_same_time(end, turns_of_body, turns_of_block, fails):
    """Either the block was done before, or the body's failure is told; the rest is never touched."""
    served = []

    async def serve(upload, over):
        async with upload.side():
            await over.wait()
            served.append(True)
            if fails:
                raise UpstreamClosed("closed")

    async def scene():
        body_over, block_over = asyncio.Event(), asyncio.Event()
        upload = Uploading(b"foo", body_over, *BODY_ENDS[end])
        tasks = [
            asyncio.ensure_future(after_turns(turns_of_body, body_over)),
            asyncio.ensure_future(after_turns(turns_of_block, block_over)),
        ]
        try:
            await serve(upload, block_over)
        except (BadFraming, ClientGone):
            assert end != "whole"
            assert not served
        except UpstreamClosed:
            assert fails
        else:
            assert served
        await stays_quiet()
        await asyncio.wait(tasks)

    run_leaping(scene())


@series("end", BODY_ENDS)
@series("turns_of_body", range(6))
@series("turns_to_cancel", range(6))
def test_cancelled_from_outside_while_the_body_ends(end, turns_of_body, turns_to_cancel):
    async def serve(upload):
        async with upload.side():
            await asyncio.Event().wait()

    async def scene():
        over = asyncio.Event()
        upload = Uploading(b"foo", over, *BODY_ENDS[end])
        task = asyncio.ensure_future(serve(upload))
        await let_others_run()
        ending = asyncio.ensure_future(after_turns(turns_of_body, over))
        await let_others_run(turns_to_cancel)
        was_over = task.done()
        task.cancel()
        await asyncio.wait([task, ending])
        if was_over:
            assert isinstance(task.exception(), BadFraming | ClientGone)
        else:
            assert task.cancelled()

    run_leaping(scene())


# -- dismissed ------------------------------------------------------------------------------------


def test_what_still_comes_of_a_dismissed_body_is_dropped():
    async def scene():
        upload = Uploading(b"foo", 5, b"bar", 5, b"end")
        async with upload.side() as side:
            await upload.body.read(0, 10)
            await side.dismiss()
            await asyncio.sleep(20)
            assert upload.left == []
        assert (upload.body.received, upload.body.state) == (3, BodyState.GROWING)
        assert upload.gate.under_way == 0
        await stays_quiet()

    run_leaping(scene())


def test_a_client_that_leaves_after_it_was_dismissed():
    """The rest of an answer is not fetched for nobody."""

    async def scene():
        upload = Uploading(b"foo", 5, b"bar", GONE)
        with pytest.raises(ClientGone):  # noqa: PT012 - the block is what is ended
            async with upload.side() as side:
                await side.dismiss()
                await asyncio.Event().wait()
        await stays_quiet()

    run_leaping(scene())


def test_how_a_dismissed_body_goes_wrong_is_nobodys_concern():
    async def scene():
        upload = Uploading(b"foo", 5, BadFraming("malformed"))
        async with upload.side() as side:
            await side.dismiss()
            await asyncio.sleep(100)
        await stays_quiet()

    run_leaping(scene())


@series("end", BODY_ENDS)
@series(("turns_of_body", "turns_to_dismiss"), list(itertools.product(range(7), range(7))))
def test_dismissed_while_the_body_ends(end, turns_of_body, turns_to_dismiss):
    """An answer is there: what becomes of the body changes nothing, only a client that has gone does."""
    answered = []

    async def serve(upload, answer):
        async with upload.side() as side:
            await answer.wait()
            await side.dismiss()
            await asyncio.sleep(1)
            answered.append(True)

    async def scene():
        over, answer = asyncio.Event(), asyncio.Event()
        upload = Uploading(b"foo", over, *BODY_ENDS[end])
        tasks = [
            asyncio.ensure_future(after_turns(turns_of_body, over)),
            asyncio.ensure_future(after_turns(turns_to_dismiss, answer)),
        ]
        try:
            await serve(upload, answer)
        except BadFraming:
            # Seen before the answer was.
            assert end == "malformed"
            assert not answer.is_set() or turns_of_body <= turns_to_dismiss
        except ClientGone:
            assert end == "gone"
        else:
            assert answered
            assert end != "gone"
        await stays_quiet()
        await asyncio.wait(tasks)

    run_leaping(scene())


@series("times", [1, 2])
@series("turns", range(5))
def test_cancelled_while_it_dismisses(turns, times):
    async def serve(upload):
        async with upload.side() as side:
            await side.dismiss()
            await asyncio.Event().wait()

    async def scene():
        upload = Uploading(b"foo", 5, b"bar")
        task = asyncio.ensure_future(serve(upload))
        await let_others_run(turns)
        for _ in range(times):
            task.cancel()
            await let_others_run(1)
        await asyncio.wait([task])
        assert task.cancelled()

    run_leaping(scene())
