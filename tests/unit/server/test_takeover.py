"""A connection whose body a pump reads: what goes to it, what comes back, and how the connection goes on."""

import asyncio
import contextlib
import os
from types import SimpleNamespace

import pytest
from uvicorn.server import ServerState

from shim.asgi import inbound_of
from shim.errors import BadFraming, ClientGone, DiskFull, ShimError
from shim.server.connection_options import ConnectionOptions
from shim.server.protocol import ClientConnection
from shim.server.request_body import MOST_BEHIND
from shim.wire.chunked import LAST_CHUNK, encode_chunk
from tests.fakes.application import Gate
from tests.fakes.loops import REAL_LOOPS, let_others_run
from tests.fakes.payload import numbered
from tests.fakes.pumping import FakeSink, Line, cancelled, pumping, waits
from tests.fakes.session import answer_with, read_answers
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
GET = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
DATA = numbered(300_000)


def put(length):
    return b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


class Taker:
    """Receives one message, then lets a pump fill sinks of ``rooms``, and answers with all it got.

    Other requests are answered with their method.
    """

    def __init__(self, *rooms, **sink):
        self.rooms = rooms
        self.sink = sink
        self.sinks = []
        self.error = None
        self.offered = None
        self.pump = None
        self.filling = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope["method"] != "PUT":
            await answer_with(send, scope["method"].encode())
            return
        try:
            body = await self._body(scope, receive)
        except ShimError as error:
            self.error = error
            raise
        await answer_with(send, body)

    async def _body(self, scope, receive):
        message = await receive()
        body = message["body"]
        offer = inbound_of(scope).take_over()
        self.offered = offer is not None
        if not self.offered:
            while message["more_body"]:
                message = await receive()
                body += message["body"]
            return body
        rooms = iter(self.rooms)
        with offer as self.pump:
            ended = False
            while not ended:
                self.sinks.append(FakeSink(next(rooms, 1 << 40), **self.sink))
                self.filling.set()
                ended, overflow = await self.pump.fill(self.sinks[-1])
                body += self.sinks[-1].data + overflow
        return body


@contextlib.asynccontextmanager
async def serving(application, poller):
    """Serve on loopback, with the pump; gives a client's streams and the server's state."""
    state = ServerState()
    config = SimpleNamespace(loaded_app=application)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ClientConnection(config, state, {}, options=ConnectionOptions(), poller=poller),
        "127.0.0.1",
        0,
    )
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer, state
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    finally:
        server.close()
        async with asyncio.timeout(10):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)


def read_at_once(intake, size):
    """Let the pump's next read give so many bytes, as one of a fast client does."""

    def read(buffer, _most):
        got = 0
        while got < size:
            with contextlib.suppress(BlockingIOError):
                got += os.readv(intake._descriptor, [buffer[got:]])
        return got, got

    intake._read = read


async def begun(application):
    """Until the pump is at work."""
    await application.filling.wait()
    await let_others_run()


@on_both_loops
@pytest.mark.parametrize("size", [1000, 65_536, 1 << 30], ids=["small pieces", "64 KiB", "at once"])
@series("framing", ["length", "chunked"])
@pytest.mark.parametrize("rooms", [(), (0,), (1, 2, 3, 100_000)], ids=["one sink", "a full one", "several"])
def test_a_body_and_the_request_behind_it(run, framing, size, rooms):
    chunks = b"".join(encode_chunk(DATA[start : start + 1000]) for start in range(0, len(DATA), 1000))
    request = CHUNKED + chunks + LAST_CHUNK if framing == "chunked" else put(len(DATA)) + DATA

    async def scene(poller):
        application = Taker(*rooms)
        async with serving(application, poller) as (reader, writer, _):
            data = request + GET
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()
            answers = read_answers(await reader.read(), "PUT", "GET")
            assert [answer.body for answer in answers] == [DATA, b"GET"]
            assert application.offered == (application.pump is not None)

    pumping(scene, run=run)


@on_both_loops
@pytest.mark.parametrize(
    ("size", "most", "is_kept"),
    [
        (MOST_BEHIND, 0, True),
        (MOST_BEHIND + 1, MOST_BEHIND + 1, True),
        (MOST_BEHIND + 1, MOST_BEHIND, False),
    ],
    ids=["little", "room for more", "no room"],
)
def test_so_much_behind_a_body_is_kept(run, size, most, is_kept, monkeypatch):
    """Beyond it would be a megabyte for each upload that waits; the answer says that nothing follows."""
    monkeypatch.setattr("shim.server.request_body.MOST_BEHIND_ALL", most)

    async def scene(poller):
        application = Taker()
        async with serving(application, poller) as (reader, writer, _):
            writer.write(CHUNKED + encode_chunk(DATA))
            await begun(application)
            await waits(application.pump._intake)
            behind = GET + b"x" * (size - len(GET))
            read_at_once(application.pump._intake, len(LAST_CHUNK) + len(behind))
            writer.write(LAST_CHUNK + behind)
            answers = read_answers(await reader.read(), "PUT", *["GET"] * is_kept)
            assert answers[0].body == DATA
            assert (answers[0].headers.get("connection") == "close") is not is_kept
            assert [answer.body for answer in answers[1:]] == [b"GET"] * is_kept

    pumping(scene, run=run)


@on_both_loops
def test_the_connection_goes_on(run):
    """A request that comes only after the answer: the loop reads again."""

    async def scene(poller):
        application = Taker()
        async with serving(application, poller) as (reader, writer, _):
            for _ in range(2):
                writer.write(put(len(DATA)) + DATA[:1000])
                await begun(application)
                application.filling.clear()
                writer.write(DATA[1000:])
                head = await reader.readuntil(b"\r\n\r\n")
                (answer,) = read_answers(head + await reader.readexactly(len(DATA)), "PUT")
                assert answer.body == DATA
                assert application.offered
            writer.write(GET)
            assert read_answers(await reader.read(), "GET")[0].body == b"GET"

    pumping(scene, run=run)


@on_both_loops
@series("how", ["half-close", "close", "reset"])
def test_a_client_that_leaves(run, how):
    async def scene(poller):
        application = Taker()
        async with serving(application, poller) as (_reader, writer, state):
            writer.write(put(len(DATA)) + DATA[:1000])
            await begun(application)
            if how == "half-close":
                writer.write_eof()
            else:
                if how == "reset":
                    Line.reset(SimpleNamespace(client=writer.get_extra_info("socket").dup()))
                writer.transport.abort()
            async with asyncio.timeout(10):
                while state.connections:
                    await asyncio.sleep(0.001)
            assert isinstance(application.error, ClientGone)

    pumping(scene, run=run)


@on_both_loops
@pytest.mark.parametrize(
    ("rest", "error"), [(b"xyz\r\n", BadFraming), (encode_chunk(b"foo"), DiskFull)], ids=["chunks", "disk"]
)
def test_a_body_that_fails(run, rest, error):
    """What is behind it is never taken for a request."""

    async def scene(poller):
        application = Taker(error=DiskFull("full"))
        async with serving(application, poller) as (reader, writer, state):
            writer.write(CHUNKED + encode_chunk(DATA[:1000]))
            await begun(application)
            writer.write(rest + LAST_CHUNK + GET)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            async with asyncio.timeout(10):
                while state.connections:
                    await asyncio.sleep(0.001)
            assert isinstance(application.error, error)

    pumping(scene, run=run)


@on_both_loops
@series("times", [1, 2])
def test_cancelled_while_a_thread_writes(run, times):
    async def scene(poller):
        gate = Gate()
        application = Taker(gate=gate)
        async with serving(application, poller) as (reader, writer, state):
            writer.write(put(len(DATA)) + DATA[:1000])
            await begun(application)
            writer.write(DATA[1000:2000])
            await gate.reached()
            (task,) = state.tasks
            for _ in range(times):
                task.cancel()
                await let_others_run()
                assert not task.done()
            gate.open()
            assert await cancelled(task)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""

    pumping(scene, run=run)


def test_without_a_descriptor_the_loop_reads_on(monkeypatch):
    async def scene(poller):
        application = Taker()

        def refuse(_descriptor):
            raise OSError(24, "too many open files")

        async with serving(application, poller) as (reader, writer, _):
            monkeypatch.setattr(os, "dup", refuse)
            writer.write(put(len(DATA)) + DATA[:1000])
            await let_others_run(50)
            writer.write(DATA[1000:] + GET)
            answers = read_answers(await reader.read(), "PUT", "GET")
            monkeypatch.undo()
            assert application.offered is False
            assert [answer.body for answer in answers] == [DATA, b"GET"]

    pumping(scene)


def test_no_pump_for_a_body_that_has_ended():
    async def scene(poller):
        application = Taker()
        async with serving(application, poller) as (reader, writer, _):
            writer.write(put(6) + b"foobar" + GET)
            answers = read_answers(await reader.read(), "PUT", "GET")
            assert application.offered is False
            assert [answer.body for answer in answers] == [b"foobar", b"GET"]

    pumping(scene)


def test_time_is_told_as_the_intake_counts_it():
    async def scene(poller):
        application = Taker()
        async with serving(application, poller) as (reader, writer, _):
            writer.write(put(2000) + DATA[:1000])
            await begun(application)
            before = application.pump.waited
            await asyncio.sleep(0.02)
            assert application.pump.waited > before
            assert 0 < application.pump.quiet <= application.pump.waited
            writer.write(DATA[1000:2000])
            await reader.readuntil(b"\r\n\r\n")
            after = application.pump.waited
            await asyncio.sleep(0.01)
            assert application.pump.waited == after

    pumping(scene)
