"""The client's side of a request: it leaves early, late, or in the very moment in which all is done."""

import asyncio
import itertools

import pytest

from shim.errors import BadFraming, ClientGone, UpstreamClosed
from shim.proxy.client_side import ClientSide
from tests.fakes.client import GONE, FakeClient
from tests.fakes.loops import let_others_run, run_leaping, stays_quiet


async def after_turns(turns, event):
    await let_others_run(turns)
    event.set()


class Leaving:
    """``receive()`` of a client that leaves when told."""

    def __init__(self):
        self.left = asyncio.Event()

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_a_client_that_stays():
    async def scene():
        client = Leaving()
        async with ClientSide(client.receive):
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
        async with ClientSide(client.receive):
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
            async with ClientSide(client.receive):
                raise UpstreamClosed("closed")
        await stays_quiet()

    run_leaping(scene())


def test_a_receive_that_fails_says_nothing_of_leaving():
    async def scene():
        async with ClientSide(FakeClient(BadFraming("malformed")).receive):
            await let_others_run()
        await stays_quiet()

    run_leaping(scene())


@pytest.mark.parametrize(("turns_to_leave", "turns_to_end"), list(itertools.product(range(7), range(7))))
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_leaving_and_ending_at_about_the_same_time(turns_to_leave, turns_to_end, fails):
    """Either it was done before, and is a success, or the client has gone; the rest is never touched."""
    served = []

    async def serve(client, over):
        async with ClientSide(client.receive):
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


@pytest.mark.parametrize("turns_to_leave", range(5))
@pytest.mark.parametrize("turns_to_cancel", range(5))
def test_cancelled_from_outside(turns_to_leave, turns_to_cancel):
    """Whatever the client does at that time: it stays a cancellation, or the client had gone before."""

    async def serve(client):
        async with ClientSide(client.receive):
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
        async with ClientSide(client.receive):
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
        async with ClientSide(client.receive):
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
        async with ClientSide(Leaving().receive):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), ClientSide(Leaving().receive):
                await asyncio.Event().wait()
        async with asyncio.timeout(1):
            with pytest.raises(ClientGone):
                async with ClientSide(FakeClient(GONE).receive):
                    await asyncio.Event().wait()
            await stays_quiet()

    run_leaping(scene())
