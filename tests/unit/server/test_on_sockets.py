"""What only real transports can show, on both loops: resets, half-closed connections, and back pressure."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from uvicorn.server import ServerState

from shim.admission.limits import AnswerPace
from shim.asgi import INBOUND
from shim.errors import ClientTooSlow
from shim.poller import Poller
from shim.server.connection_options import ConnectionOptions
from shim.server.protocol import ClientConnection
from tests.fakes.loops import REAL_LOOPS
from tests.fakes.session import Echo, answer_with, read_answers

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
GET = b"GET / HTTP/1.1\r\nHost: glance\r\n\r\n"
LARGE = 32 * 1024 * 1024


@contextlib.asynccontextmanager
async def serving(application, path=None, poller=None, **options):
    """Serve on a loopback or unix socket; gives how to connect, and the server's state."""
    state = ServerState()
    config = SimpleNamespace(loaded_app=application)
    loop = asyncio.get_running_loop()

    def connection():
        return ClientConnection(config, state, {}, options=ConnectionOptions(**options), poller=poller)

    if path is None:
        server = await loop.create_server(connection, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        place = ("127.0.0.1", port)
        yield lambda: asyncio.open_connection(*place), state
    else:
        server = await loop.create_unix_server(connection, path)
        yield lambda: asyncio.open_unix_connection(path), state
    server.close()
    await server.wait_closed()
    await until_nobody_is_left(state)


async def until_nobody_is_left(state):
    """Wait until the server has neither a connection nor a request."""
    async with asyncio.timeout(10):
        while state.connections or state.tasks:
            await asyncio.sleep(0.001)


async def hang_up(writer):
    """Close a client's connection, whatever became of it."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@on_both_loops
def test_pipelined_requests(run):
    async def scene():
        async with serving(Echo()) as (connect, _state):
            reader, writer = await connect()
            writer.write(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nfoobar" + GET)
            writer.write(GET.replace(b"Host", b"Connection: close\r\nHost"))
            answers = read_answers(await reader.read(), "PUT", "GET", "GET")
            assert [answer.body for answer in answers] == [b"PUT /a foobar", b"GET / ", b"GET / "]
            await hang_up(writer)

    run(scene())


@on_both_loops
def test_an_early_answer_reaches_a_client_that_goes_on_sending(run):
    async def refuse(_scope, _receive, send):
        await answer_with(send, b"no" * 1000, 401)

    async def scene():
        async with serving(refuse) as (connect, _state):
            reader, writer = await connect()
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // (1 << 20)):
                writer.write(bytes(1 << 20))
                await writer.drain()
            (answer,) = read_answers(await reader.read(), "PUT")
            assert (answer.status, answer.body) == (401, b"no" * 1000)
            await hang_up(writer)

    run(scene())


@on_both_loops
def test_an_early_answer_to_a_client_that_has_gone(run):
    """Its place is free again: nobody reads from it any more, who would find that it has gone."""

    async def scene():
        async with serving(lambda _scope, _receive, send: answer_with(send)) as (connect, state):
            _, writer = await connect()
            while not state.connections:
                await asyncio.sleep(0.001)
            (connection,) = state.connections
            await hang_up(writer)
            # In the turn of the loop before the one that would tell of the end.
            connection.data_received(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")

    run(scene())


@on_both_loops
def test_a_cut_answer_that_ends_with_its_connection_is_a_reset(run):
    async def break_off(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"foo", "more_body": True})
        await go_on.wait()
        raise KeyError("a bug")

    async def scene():
        async with serving(break_off) as (connect, _state):
            reader, writer = await connect()
            writer.write(GET.replace(b"1.1", b"1.0"))
            assert (await reader.readuntil(b"foo")).startswith(b"HTTP/1.1 200 OK\r\n")
            go_on.set()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await hang_up(writer)

    go_on = asyncio.Event()
    run(scene())


@on_both_loops
def test_a_body_nobody_asks_for_stays_with_its_client(run):
    async def scene():
        application = Echo(asyncio.Event())
        async with serving(application) as (connect, _state):
            reader, writer = await connect()
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE)
            writer.write(bytes(LARGE))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.drain()
            # The buffers of the kernel hold some of it, the server nothing.
            assert writer.transport.get_write_buffer_size() > LARGE // 2
            application.before.set()
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: %d\r\n" % (LARGE + len(b"PUT / ")) in head
            writer.transport.abort()
            await hang_up(writer)

    run(scene())


@on_both_loops
def test_a_body_right_behind_its_head_is_taken_from_the_socket(run):
    """Though the loop, which reads nothing before it is asked, has not had a turn to read it."""
    here = []

    async def application(scope, receive, send):
        await sent.wait()
        receive_now = scope["extensions"][INBOUND].receive_now
        while not (here and not here[-1]["more_body"]):
            if (part := receive_now()) is not None:
                here.append(part)
        assert receive_now() is None
        await answer_with(send)

    async def scene():
        nonlocal sent
        sent = asyncio.Event()
        async with serving(application, poller=Poller()) as (connect, _state):
            reader, writer = await connect()
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n")
            await asyncio.sleep(0.05)
            writer.write(bytes(200_000))
            await writer.drain()
            sent.set()
            read_answers(await reader.read(), "PUT")
            assert b"".join(part["body"] for part in here) == bytes(200_000)
            await hang_up(writer)

    sent = None
    run(scene())


@on_both_loops
def test_a_client_that_takes_nothing_is_cut_off(run):
    async def application(_scope, _receive, send):
        headers = [(b"content-length", b"%d" % LARGE)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            for _ in range(LARGE // (1 << 20)):
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        except ClientTooSlow:
            ended.append(True)
            raise

    async def scene():
        async with serving(application, answer=AnswerPace(idle=0.1)) as (connect, state):
            reader, writer = await connect()
            reader._transport.pause_reading()
            writer.write(GET)
            await writer.drain()
            async with asyncio.timeout(10):
                while not ended:
                    await asyncio.sleep(0.001)
            await until_nobody_is_left(state)
            await hang_up(writer)

    ended = []
    run(scene())


@on_both_loops
def test_a_client_that_leaves_is_noticed(run):
    async def application(_scope, receive, _send):
        while (await receive())["type"] != "http.disconnect":
            pass
        noticed.set()

    async def scene():
        async with serving(application) as (connect, _state):
            _, writer = await connect()
            writer.write(GET)
            await writer.drain()
            await hang_up(writer)
            async with asyncio.timeout(5):
                await noticed.wait()

    noticed = asyncio.Event()
    run(scene())


@on_both_loops
def test_over_a_unix_socket(run, tmp_path):
    async def scene():
        application = Echo()
        async with serving(application, str(tmp_path / "shim.sock")) as (connect, _state):
            reader, writer = await connect()
            writer.write(GET.replace(b"Host", b"Connection: close\r\nHost"))
            assert read_answers(await reader.read(), "GET")[0].status == 200
            assert application.scopes[0]["client"] is None
            assert application.scopes[0]["server"] == (str(tmp_path / "shim.sock"), None)
            await hang_up(writer)

    run(scene())


@on_both_loops
def test_times(run):
    async def scene():
        async with serving(Echo(), header_timeout=0.2, keepalive_timeout=0.2) as (connect, _state):
            for data, expected in [(b"", b""), (GET[:9], b"header_timeout"), (GET, b"GET / ")]:
                reader, writer = await connect()
                writer.write(data)
                assert (await reader.read()).endswith(expected)
                await hang_up(writer)

    run(scene())


@on_both_loops
def test_lingering_ends(run):
    async def refuse(_scope, _receive, send):
        await answer_with(send, b"no", 401)

    async def scene():
        async with serving(refuse, linger_timeout=0.1) as (connect, state):
            reader, writer = await connect()
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
            assert (await reader.read()).endswith(b"no")
            await until_nobody_is_left(state)
            await hang_up(writer)

    run(scene())
