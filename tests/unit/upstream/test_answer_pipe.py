"""An answer handed from a thread to the loop: in order, at the reader's pace, and ended from either side.

Where the order of steps matters both sides run in one thread; the two together are in ``test_application``.
"""

import asyncio
import threading

import pytest

from shim.errors import UpstreamClosed
from shim.upstream.answer_pipe import MOST_HELD, Abandoned, AnswerHead, AnswerPipe
from shim.wire.framing import UNTIL_CLOSE
from tests.fakes.loops import let_others_run, run

HEAD = AnswerHead(200, b"OK", (), UNTIL_CLOSE)
BROKEN = UpstreamClosed("It broke.")
LAST_RESORT = 30


def with_pipe(scene):
    async def whole():
        return await scene(AnswerPipe(asyncio.get_running_loop()))

    return run(whole())


def test_what_is_there_is_not_waited_for():
    async def scene(pipe):
        assert pipe.begin()
        pipe.send_head(HEAD)
        pipe.send(b"one")
        pipe.send(b"two")
        pipe.end()
        await pipe.begun()
        assert await pipe.head() is HEAD
        assert [await pipe.take(), await pipe.take(), await pipe.take()] == [b"onetwo", b"", b""]

    with_pipe(scene)


@pytest.mark.parametrize(
    ("wait", "step", "gives"),
    [
        (AnswerPipe.begun, lambda pipe: pipe.begin(), None),
        (AnswerPipe.head, lambda pipe: pipe.send_head(HEAD), HEAD),
        (AnswerPipe.take, lambda pipe: pipe.send(b"x"), b"x"),
        (AnswerPipe.take, lambda pipe: pipe.end(), b""),
    ],
    ids=["begin", "head", "piece", "end"],
)
def test_each_step_wakes_who_waits_for_it(wait, step, gives):
    async def scene(pipe):
        waiting = asyncio.ensure_future(wait(pipe))
        await let_others_run()
        assert not waiting.done()
        await asyncio.to_thread(step, pipe)
        assert await waiting == gives

    with_pipe(scene)


def test_other_news_do_not_end_a_wait():
    async def scene(pipe):
        waiting = asyncio.ensure_future(pipe.take())
        await let_others_run()
        pipe.begin()
        await let_others_run()
        pipe.send_head(HEAD)
        await let_others_run()
        assert not waiting.done()
        pipe.send(b"x")
        assert await waiting == b"x"

    with_pipe(scene)


def test_pieces_come_before_the_error():
    async def scene(pipe):
        pipe.send_head(HEAD)
        pipe.send(b"half")
        pipe.end(BROKEN)
        pipe.end()
        assert await pipe.head() is HEAD
        assert await pipe.take() == b"half"
        with pytest.raises(UpstreamClosed):
            await pipe.take()

    with_pipe(scene)


def test_an_error_instead_of_a_head():
    async def scene(pipe):
        pipe.end(BROKEN)
        with pytest.raises(UpstreamClosed):
            await pipe.head()

    with_pipe(scene)


def test_a_full_pipe_holds_the_thread_until_it_is_emptied():
    async def scene(pipe):
        pipe.send(bytes(MOST_HELD))
        sent = threading.Event()

        def send():
            pipe.send(b"more")
            sent.set()

        thread = threading.Thread(target=send)
        thread.start()
        assert len(await pipe.take()) == MOST_HELD
        assert await pipe.take() == b"more"
        thread.join(LAST_RESORT)
        assert sent.is_set()

    with_pipe(scene)


def test_after_the_reader_has_left_every_step_says_so():
    async def scene(pipe):
        pipe.abandon()
        assert pipe.is_abandoned
        assert not pipe.begin()
        for step in (lambda: pipe.send_head(HEAD), lambda: pipe.send(b"x")):
            with pytest.raises(Abandoned):
                step()
        pipe.end()

    with_pipe(scene)


def test_leaving_after_the_end_is_no_leaving():
    async def scene(pipe):
        pipe.end()
        pipe.abandon()
        assert not pipe.is_abandoned

    with_pipe(scene)


def test_leaving_frees_a_thread_that_waits_for_room():
    async def scene(pipe):
        pipe.send(bytes(MOST_HELD))
        failed = []

        def send():
            try:
                pipe.send(b"more")
            except Abandoned as error:
                failed.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        pipe.abandon()
        await asyncio.to_thread(thread.join, LAST_RESORT)
        assert len(failed) == 1

    with_pipe(scene)


def test_a_closed_loop_has_no_reader():
    loop = asyncio.new_event_loop()
    pipe = AnswerPipe(loop)

    async def wait():
        task = asyncio.ensure_future(pipe.begun())
        await let_others_run()
        task.cancel()

    loop.run_until_complete(wait())
    loop.close()
    assert pipe.begin()
