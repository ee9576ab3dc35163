"""uvicorn under the admin pages: a connection whose client reads nothing can be given up."""

import asyncio
import contextlib
import logging
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from shim.app.streaming import EventStream
from shim.asgi import abort_of
from shim.server.admin_connection import AdminConnection
from tests.fakes.loops import REAL_LOOPS

# More than the kernel takes for a client that reads nothing.
EVENT = bytes(1 << 20)


async def events():
    while True:
        yield EVENT


async def application(scope, receive, send):
    await EventStream(events(), abort_of(scope), within=0.05)(scope, receive, send)


@contextlib.asynccontextmanager
async def connected():
    """A client's socket, and what uvicorn knows of its connection."""
    config = uvicorn.Config(application, http=AdminConnection, lifespan="off", ws="none", log_config=None)
    config.load()
    state = ServerState()
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: AdminConnection(config, state, {}), ours)
        try:
            yield theirs, state
        finally:
            transport.abort()


@pytest.mark.parametrize("run", REAL_LOOPS)
def test_a_client_that_reads_nothing_holds_no_connection(run, caplog):
    async def story():
        async with connected() as (client, state):
            await asyncio.get_running_loop().sock_sendall(client, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            async with asyncio.timeout(10):
                while not state.tasks:
                    await asyncio.sleep(0.005)
                while state.connections or state.tasks:
                    await asyncio.sleep(0.005)

    with caplog.at_level(logging.ERROR):
        run(story())
    assert caplog.messages == []
