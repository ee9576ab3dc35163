"""The line between supervisor and worker: orders and beats in their order, an end that cannot be missed."""

import asyncio
import contextlib

import pytest

from shim.server.channel import Beat, Mouthpiece, Post, make_line
from shim.server.steps import Order
from tests.fakes.loops import REAL_LOOPS

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


@pytest.fixture
def line():
    """The supervisor's end, and the worker's."""
    ours, theirs = make_line()
    with contextlib.closing(Mouthpiece(ours)) as mouthpiece, contextlib.closing(Post(theirs)) as post:
        yield mouthpiece, post


@on_both_loops
def test_orders_to_the_end(run, line):
    mouthpiece, post = line

    async def story():
        for order in (Order.RETIRE, Order.DRAIN):
            mouthpiece.tell(order)
        heard = []
        async for order in post.orders():
            heard.append(order)
            if order is Order.DRAIN:
                mouthpiece.tell(Order.NOW)
            elif order is Order.NOW:
                mouthpiece.close()
        assert heard == [Order.RETIRE, Order.DRAIN, Order.NOW]

    run(story())


@on_both_loops
def test_a_supervisor_that_is_killed_ends_the_orders(run, line):
    mouthpiece, post = line

    async def story():
        waiting = asyncio.ensure_future(anext(post.orders(), None))
        await asyncio.sleep(0)
        mouthpiece.close()
        assert await waiting is None

    run(story())


def test_beats(line):
    mouthpiece, post = line
    assert [*mouthpiece.heard()] == []
    post.tell(Beat(1, 1 << 40))
    post.tell(Beat(2, 3))
    assert [*mouthpiece.heard()] == [Beat(1, 1 << 40), Beat(2, 3)]
    assert [*mouthpiece.heard()] == []


def test_one_that_came_in_two_pieces(line):
    mouthpiece, post = line
    post._line.send(b'{"uploads": 1, "he')
    assert [*mouthpiece.heard()] == []
    post._line.send(b'ld": 2}\n')
    assert [*mouthpiece.heard()] == [Beat(1, 2)]


def test_nobody_is_there_any_more(line):
    mouthpiece, post = line
    post.tell(Beat(5, 5))
    post.close()
    mouthpiece.tell(Order.DRAIN)
    assert [*mouthpiece.heard()] == [Beat(5, 5)]
    assert not mouthpiece.has_ended
    assert [*mouthpiece.heard()] == []
    assert mouthpiece.has_ended


def test_one_that_has_gone_without_listening(line):
    mouthpiece, post = line
    mouthpiece.tell(Order.DRAIN)
    post.close()
    assert [*mouthpiece.heard()] == []
    assert mouthpiece.has_ended


def test_nobody_listens_and_nobody_waits(line):
    mouthpiece, post = line
    for _ in range(20_000):
        post.tell(Beat(1, 1))
    mouthpiece.tell(Order.NOW)
    assert next(mouthpiece.heard()) == Beat(1, 1)
