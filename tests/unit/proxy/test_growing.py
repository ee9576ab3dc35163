"""The waits for a body that still comes in: until it begins, and for each of its bytes, never for ever."""

import asyncio

import pytest

from shim.errors import BadFraming, ClientGone, ServerKeptWaiting
from shim.proxy.growing import GrowingBody, wait_for_start
from shim.proxy.pace import Pace
from shim.spool.body import Body
from shim.timing import UNLIMITED
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.support.series import series

STALL = 30
SIZE = 10_000_000


def new_body(declared=None):
    return Body(FakeDisk().create, memory_limit=1 << 40, declared=declared)


def growing(body, stall=STALL):
    return GrowingBody(body, stall, clock=loop_time)


async def send(body, *pieces):
    """What a client does: seconds are waited, the rest is appended."""
    for piece in pieces:
        if isinstance(piece, bytes):
            await body.append(piece)
        else:
            await asyncio.sleep(piece)


async def read_all(source):
    data = b""
    while piece := await source.read(len(data), 10):
        data += piece
    return data


# -- until it begins ------------------------------------------------------------------------------


class Whole:
    """A client's side of which only its end is looked at."""

    def __init__(self):
        self.event = asyncio.Event()

    async def wait_until_whole(self):
        await self.event.wait()


async def start_of(body, drain, client, *script):
    """Seconds until the forwarding began, while the client did what stands in the script."""
    began = loop_time()
    sending = asyncio.ensure_future(send(body, *script))
    await wait_for_start(body, Pace(body.length, drain, loop_time()), client, clock=loop_time)
    sending.cancel()
    await asyncio.wait([sending])
    return loop_time() - began


def test_it_begins_as_late_as_it_can():
    async def scene():
        # 100 MiB in 100 s, for a server that needs 10 s.
        script = [step for _ in range(1000) for step in (0.1, bytes(SIZE // 1000))]
        assert await start_of(new_body(SIZE), SIZE / 10, Whole(), *script) == pytest.approx(90.3, abs=0.5)

    run_leaping(scene())


def test_it_begins_when_it_is_whole_at_the_latest():
    async def scene():
        client = Whole()
        asyncio.get_running_loop().call_later(5, client.event.set)
        assert await start_of(new_body(SIZE), None, client) == pytest.approx(5)

    run_leaping(scene())


def test_one_that_is_whole_is_not_waited_for():
    async def scene():
        client = Whole()
        client.event.set()
        assert await start_of(new_body(SIZE), None, client) < 0.03

    run_leaping(scene())


@pytest.mark.parametrize("times", [1, 2])
def test_cancelled_while_it_has_not_begun(times):
    async def scene():
        body = new_body(SIZE)
        waiting = asyncio.ensure_future(start_of(body, None, Whole()))
        await asyncio.sleep(5)
        for _ in range(times):
            waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    run_leaping(scene())


# -- while it grows -------------------------------------------------------------------------------


def test_it_is_the_body_in_all_else():
    async def scene():
        body = new_body(6)
        source = growing(body)
        assert (source.length, source.in_file, source.fileno()) == (6, 0, None)
        await send(body, b"foobar")
        await body.seal()
        assert await read_all(source) == b"foobar"
        assert not await source.wait(6)
        on_disk = Body(FakeDisk().create, memory_limit=0, declared=4)
        await on_disk.append(b"foo")
        source = growing(on_disk)
        assert source.in_file == 3
        assert source.fileno() == on_disk.fileno() is not None

    run_leaping(scene())


def test_a_length_that_becomes_known_meanwhile_is_not_this_attempts():
    """Its head may have gone out by then, and have said that the body comes in chunks."""

    async def scene():
        body = new_body()
        source = growing(body)
        assert source.length is None
        await body.append(b"foobar")
        await body.seal()
        assert body.length == 6
        assert source.length is None
        assert growing(body).length == 6

    run_leaping(scene())


@pytest.mark.parametrize("silence", [0, 1, 29.9])
def test_a_client_that_falls_behind_a_little(silence):
    async def scene():
        body = new_body(6)
        reading = asyncio.ensure_future(read_all(growing(body)))
        await send(body, b"foo", silence, b"bar")
        await body.seal()
        assert await reading == b"foobar"

    run_leaping(scene())


@pytest.mark.parametrize(
    "script",
    [(b"foo", 1000), (1000,), tuple([1, b"x"] * 1000)],
    ids=["silent", "silent from the start", "drip"],
)
def test_a_client_that_falls_behind(script):
    async def scene():
        body = new_body(10_000)
        sending = asyncio.ensure_future(send(body, *script))
        began = loop_time()
        with pytest.raises(ServerKeptWaiting, match="30 s"):
            await read_all(growing(body))
        assert loop_time() - began == pytest.approx(STALL, abs=1)
        sending.cancel()
        await asyncio.wait([sending])

    run_leaping(scene())


def test_each_attempt_has_its_own_patience():
    async def scene():
        body = new_body(100)
        for _ in range(2):
            with pytest.raises(ServerKeptWaiting):
                await growing(body).wait(0)
        assert loop_time() == pytest.approx(1000 + 2 * STALL)

    run_leaping(scene())


def test_work_earns_patience_for_the_very_next_wait():
    async def scene():
        body = new_body(100)
        source = growing(body, stall=1)
        sending = asyncio.ensure_future(send(body, *[5.9, b"x"] * 10))
        for offset in range(10):
            await asyncio.sleep(5)  # the server takes its time
            assert await source.wait(offset)
        await sending

    run_leaping(scene())


def test_what_is_there_is_given_to_the_end_of_all_patience():
    async def scene():
        body = new_body(100)
        source = growing(body)
        with pytest.raises(ServerKeptWaiting):
            await source.wait(0)
        await body.append(b"foo")
        assert await source.read(0, 10) == b"foo"
        with pytest.raises(ServerKeptWaiting):
            await source.read(3, 10)

    run_leaping(scene())


def test_where_nothing_is_asked_of_the_client_it_is_waited_for():
    async def scene():
        body = new_body(4)
        reading = asyncio.ensure_future(read_all(growing(body, UNLIMITED)))
        await send(body, b"foo", 1_000_000, b"x")
        await body.seal()
        assert await reading == b"foox"

    run_leaping(scene())


def test_a_body_that_fails_is_its_own_error():
    async def scene():
        body = new_body(100)
        reading = asyncio.ensure_future(read_all(growing(body)))
        await send(body, b"foo", 5)
        body.fail(BadFraming("malformed"))
        with pytest.raises(BadFraming):
            await reading

    run_leaping(scene())


@series("turns", range(5))
def test_failing_at_the_end_of_the_patience_is_one_of_both(turns):
    async def scene():
        body = new_body(100)
        reading = asyncio.ensure_future(growing(body).wait(0))
        await asyncio.sleep(STALL)
        await let_others_run(turns)
        body.fail(ClientGone("gone"))
        await asyncio.wait([reading])
        assert isinstance(reading.exception(), ServerKeptWaiting | ClientGone)

    run_leaping(scene())


@series("turns", range(4))
def test_cancelled_while_it_waits(turns):
    async def scene():
        body = new_body(100)
        reading = asyncio.ensure_future(growing(body).wait(0))
        await let_others_run(turns)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()

    run_leaping(scene())
