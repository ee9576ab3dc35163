"""uvicorn under the admin pages, within limits: what a client sends, how long it takes, and how many come."""

import asyncio
import contextlib
import functools
import logging
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from shim.app.streaming import EventStream
from shim.asgi import abort_of
from shim.server.admin_connection import MOST_CONNECTIONS, MOST_PIPELINED, MOST_UNREAD, AdminConnection
from shim.server.connection_options import ConnectionOptions
from tests.fakes.loops import REAL_LOOPS

# More than the kernel takes for a client that reads nothing.
EVENT = bytes(1 << 20)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHORT = ConnectionOptions(header_timeout=0.05, linger_timeout=0.05)

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


async def events():
    while True:
        yield EVENT


async def live_view(scope, receive, send):
    await EventStream(events(), abort_of(scope), within=0.05)(scope, receive, send)


def answering(body):
    async def answer(_scope, _receive, send):
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    return answer


def waiting(until):
    """Says that it is there, and no more before ``until``."""

    async def answer(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"begin", "more_body": True})
        await until.wait()
        await send({"type": "http.response.body", "body": b"ended"})

    return answer


class Listener:
    """Connections of one process, as uvicorn keeps them."""

    def __init__(self, application, options=None):
        config = uvicorn.Config(application, http=AdminConnection, lifespan="off", ws="none", log_config=None)
        config.load()
        self.state = ServerState()
        options = options or ConnectionOptions()
        self.protocol = functools.partial(AdminConnection, config, self.state, {}, options=options)

    @contextlib.asynccontextmanager
    async def connected(self):
        """A client's socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_accepted_socket(self.protocol, ours)
            try:
                yield theirs
            finally:
                transport.abort()

    async def emptied(self):
        while self.state.connections or self.state.tasks:
            await asyncio.sleep(0.005)


async def send(client, data):
    """As much of it as is taken."""
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(client, data)


async def received(client, size):
    data = b""
    while len(data) < size and (more := await asyncio.get_running_loop().sock_recv(client, 1 << 16)):
        data += more
    return data


async def rest(client):
    """All that comes until the connection's end, however it ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            data += more
    return data


@on_both_loops
def test_a_client_that_reads_nothing_holds_no_connection(run, caplog):
    async def story():
        listener = Listener(live_view)
        async with listener.connected() as client:
            await send(client, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            while not listener.state.tasks:
                await asyncio.sleep(0.005)
            await listener.emptied()

    with caplog.at_level(logging.ERROR):
        run(story())
    assert caplog.messages == []


@on_both_loops
@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nA: "], ids=["target", "field"])
def test_a_head_without_an_end(run, start):
    async def story():
        listener = Listener(answering(b"hello"))
        async with listener.connected() as client:
            (connection,) = listener.state.connections
            await send(client, GET)
            assert (await received(client, 1)).startswith(b"HTTP/1.1 200")
            await send(client, start + b"a" * (1 << 20))
            # Part of it may be still to be read here, and then the kernel throws the answer away.
            assert (await rest(client))[:12] in (b"HTTP/1.1 431", b"")
            await listener.emptied()
        assert len(connection.url) <= MOST_UNREAD

    run(story())


@on_both_loops
def test_a_head_that_is_refused_is_told_so(run):
    async def story():
        listener = Listener(answering(b"hello"))
        async with listener.connected() as client:
            await send(client, b"GET / HTTP/1.1\r\nA: ")
            await send(client, b"a" * MOST_UNREAD)
            assert (await rest(client)).startswith(b"HTTP/1.1 431")

    run(story())


@on_both_loops
def test_requests_that_follow_on_each_other(run):
    """Each has the whole limit."""

    async def story():
        async with Listener(answering(b"hello")).connected() as client:
            padded = GET[:-2] + b"A: " + b"a" * (MOST_UNREAD // 2) + b"\r\n\r\n"
            for _ in range(4):
                await send(client, padded)
                assert (await received(client, 1)).endswith(b"hello")

    run(story())


@on_both_loops
def test_a_body_without_an_end(run):
    async def story():
        listener = Listener(waiting(asyncio.Event()))
        async with listener.connected() as client:
            await send(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            assert (await received(client, 1)).startswith(b"HTTP/1.1 200")
            (task,) = listener.state.tasks
            await send(client, bytes(1 << 20))
            await rest(client)
            task.cancel()
            await listener.emptied()

    run(story())


@on_both_loops
def test_requests_without_number_behind_one_answer(run):
    async def story():
        listener = Listener(waiting(asyncio.Event()))
        async with listener.connected() as client:
            await send(client, GET * (MOST_PIPELINED + 2))
            await rest(client)
            (task,) = listener.state.tasks
            task.cancel()
            await listener.emptied()

    run(story())


@on_both_loops
@pytest.mark.parametrize("data", [b"", GET[:9], GET + GET[:9], GET + b"\r\n"])
def test_a_head_that_does_not_come(run, data):
    async def story():
        listener = Listener(answering(b"hello"), SHORT)
        async with listener.connected() as client:
            for part in (data[: len(GET)], data[len(GET) :]):
                await send(client, part)
                if part == GET:
                    await received(client, 1)
            await rest(client)
            await listener.emptied()

    run(story())


@on_both_loops
def test_a_live_view_outlasts_the_time_for_a_head(run):
    async def story():
        end = asyncio.Event()
        async with Listener(waiting(end), SHORT).connected() as client:
            await send(client, GET)
            assert (await received(client, 1)).endswith(b"begin")
            await asyncio.sleep(4 * SHORT.header_timeout)
            end.set()
            assert await received(client, 5) == b"ended"

    run(story())


@on_both_loops
@pytest.mark.parametrize("requests", [1, 2])
def test_answers_that_nobody_takes(run, requests):
    """uvicorn would wait for ever for its client to read them."""

    async def story():
        listener = Listener(answering(EVENT), SHORT)
        async with listener.connected() as client:
            for _ in range(requests):
                await send(client, GET)
                await asyncio.sleep(0)
            await listener.emptied()

    run(story())


@on_both_loops
def test_one_connection_too_many(run):
    async def story():
        listener = Listener(answering(b"hello"))
        async with contextlib.AsyncExitStack() as stack:
            first, *_ = [
                await stack.enter_async_context(listener.connected()) for _ in range(MOST_CONNECTIONS)
            ]
            async with listener.connected() as client:
                assert await rest(client) == b""
            assert len(listener.state.connections) == MOST_CONNECTIONS
            await send(first, GET)
            assert (await received(first, 1)).endswith(b"hello")

    run(story())
