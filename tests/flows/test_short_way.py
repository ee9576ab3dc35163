"""The short way beside the ordinary one: whatever a server does, both come to the same.

One table of servers runs through both over real sockets; compared are the client's bytes, the record, what
the server got, and that nothing is held afterwards.
"""

import asyncio
import contextlib
import errno
import gc
import itertools
import os
import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.app.short import ShortRequests
from shim.proxy.short import ShortRequest
from shim.server.exchange import Exchange
from shim.server.short import ShortExchange
from shim.upstream.address import parse_upstream
from shim.upstream.connection import Connection
from shim.upstream.dialing import connect_near
from shim.upstream.message import BytesBody, UpstreamTimeouts
from shim.upstream.network import connect_now
from shim.upstream.pending import PendingRequest
from shim.upstream.plain_stream import SocketStream
from shim.upstream.pool import Server
from shim.wire.peer import TrustedProxies
from tests.fakes.flow import MEMORY, Flow
from tests.fakes.loops import REAL_LOOPS, loop_time, run_uvloop
from tests.fakes.stream import length_of
from tests.support.examples import examples
from tests.unit.server.test_on_sockets import hang_up, serving

GET = b"GET /v2/images HTTP/1.1\r\nHost: glance\r\nX-Auth-Token: t\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = 300_000
UUID = b"71c675ab-d94f-49cd-a114-e12490b328d9"
# Made anew for each request.
_IDENTITY = re.compile(rb"req-[0-9a-f-]{36}")
END = object()
_ENDS_OF_LINE = re.compile(rb" HTTP/1\.[01]\r\n")


@dataclass
class Outcome:
    """What requests came to, as far as both ways have to agree.

    Attributes:
        received: What the client got.
        sent: What the server got, by connection.
        told: How each record ended.
        given: How many were answered on the short way; in this the ways differ.
    """

    received: bytes
    sent: list[bytes]
    told: list[tuple]
    given: int = field(compare=False)


class Behind:
    """A server that answers each request by a script: bytes, seconds to wait, or END to close."""

    def __init__(self, script, protocol):
        self.script = script
        self._protocol = protocol
        self.connections = []
        self.writers = []
        self._tasks = set()
        self._over = asyncio.Event()

    async def __call__(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        got = bytearray()
        self.connections.append(got)
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._read(reader)
                got += head
                got += await reader.readexactly(length_of(head) or 0)
                if not await self._answer(writer):
                    break
        await hang_up(writer)

    async def _read(self, reader):
        if self._protocol == "http":
            return await reader.readuntil(b"\r\n\r\n")
        head = await reader.readexactly(4)
        return head + await reader.readexactly(int.from_bytes(head[1:3], "little"))

    async def _answer(self, writer):
        for step in self.script:
            if step is END:
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(step if isinstance(step, float) else 0.002):
                    await self._over.wait()
        return not self._over.is_set()

    async def end(self):
        """Wait until nobody is served any more; who is in the middle of the script breaks off."""
        self._over.set()
        await asyncio.gather(*self._tasks)


@contextlib.asynccontextmanager
async def behind(script, protocol="http", connect=connect_now, **timeouts):
    """A flow with a server on a real socket, and what that server got."""
    script = Behind(script, protocol)
    listener = await asyncio.start_server(script, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = Server(
        parse_upstream(f"{protocol}://127.0.0.1:{port}"),
        UpstreamTimeouts(**{"connect_retry": 0.0, **timeouts}),
        connect_now=connect,
        clock=loop_time,
    )
    flow = Flow(server=server)
    try:
        yield flow, script
        await flow.check_nothing_is_held()
    finally:
        listener.close()
        await script.end()


class Counting(ShortRequests):
    """The short way, and how many requests came to their answer on it."""

    given = 0

    def terms(self, headers, ends):
        """Those that count."""
        terms = super().terms(headers, ends)
        return None if terms is None else CountingTerms(self, terms)


class CountingTerms:
    def __init__(self, way, terms):
        self._way = way
        self._terms = terms

    def begin(self, method, target, client, **of_body):
        """Begin with a client that is counted."""
        return self._terms.begin(method, target, CountedClient(self._way, client), **of_body)


class CountedClient:
    """One client, as the short way has it."""

    def __init__(self, way, client):
        self._way = way
        self._client = client
        self.body_now, self.go_on = client.body_now, client.go_on

    def give(self, *answer):
        """It came to its answer here."""
        self._way.given += 1
        self._client.give(*answer)


async def outcome(script, *requests, on_short_way, **timeouts):
    """What a client gets that sends each request after the last one's end, while its connection stays."""
    async with behind(script, **timeouts) as (flow, server):
        way = Counting(flow.proxy, TrustedProxies())
        if on_short_way:
            flow.application.short_way = way
        ended = []
        tell, flow.journal.end = flow.journal.end, lambda record: (tell(record), ended.append(record))
        async with serving(flow.application, linger_timeout=0.05) as (connect, _state):
            reader, writer = await connect()
            received = bytearray()
            reading = asyncio.ensure_future(_read_all(reader, received))
            for request in requests:
                count = len(ended) + len(_ENDS_OF_LINE.findall(request))
                writer.write(request)
                while len(ended) < count and not reading.done():
                    await asyncio.sleep(0.001)
            with contextlib.suppress(OSError):
                writer.write_eof()
            await reading
            await hang_up(writer)
        return Outcome(
            _IDENTITY.sub(b"req", bytes(received)),
            sorted(_without_own(bytes(got)) for got in server.connections),
            [_told(record) for record in ended],
            way.given,
        )


async def _read_all(reader, received):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            received += data


def _without_own(sent):
    # A watched connection tells at once that its server closes it, so that the next one is not asked for.
    sent = _IDENTITY.sub(b"req", sent).replace(b"connection: close\r\n", b"")
    return re.sub(rb"(?<=SERVER_PORT..)[0-9]{4,5}", b"", sent)


def _told(record):
    return (
        *(record.method, record.path, record.client, record.project, record.route, record.image),
        *(record.upstream, record.server, record.status, record.code, record.received, record.sent),
        *(record.detail, record.upstream_request_id, tuple(record.phases), record.has_body),
    )


# What a server does, and how many of two requests the short way answers.
SERVERS = {
    "whole": (2, [OK]),
    "its end in another piece": (2, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", b"k"]),
    "byte by byte": (2, [OK[place : place + 1] for place in range(len(OK))]),
    "no body": (2, [b"HTTP/1.1 204 No Content\r\n\r\n"]),
    "not modified": (2, [b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 7\r\n\r\n']),
    "its own id": (2, [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-OpenStack-Request-Id: theirs\r\n\r\n"]),
    "fields of one hop": (
        2,
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\n\r\nok"],
    ),
    "many choices": (2, [b"HTTP/1.1 300 Many\r\nContent-Length: 2\r\nVary: a\r\nVary: b\r\n\r\nok"]),
    "an error of its own": (2, [b"HTTP/1.1 503 Out\r\nContent-Length: 2\r\n\r\nno"]),
    "chunks": (0, [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]),
    "until it closes": (0, [b"HTTP/1.1 200 OK\r\n\r\nok", END]),
    "closes, and says so": (
        2,
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", END],
    ),
    # That may be noticed before the second request is sent, or after.
    "closes, and does not say so": ({1, 2}, [OK, END]),
    "HTTP/1.0": (2, [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", END]),
    "a hint before": (0, [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK]),
    "100 before, at once": (0, [b"HTTP/1.1 100 Continue\r\n\r\n" + OK]),
    "large": (0, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE, bytes(LARGE)]),
    "cut in its body": (0, [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", END]),
    "cut in its head": (0, [b"HTTP/1.1 200 OK\r\nContent-Le", END]),
    "no answer": (0, [END]),
    "no HTTP": (0, [b"220 ready for SMTP\r\n\r\n"]),
    "a bare LF": (0, [b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"]),
    "two lengths": (0, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"]),
    "switches protocols": (0, [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]),
    "more than its answer": (2, [OK + b"HTTP/1.1 200 OK\r\n"]),
    "takes its time": (2, [0.05, OK]),
}


async def both_ways(script, *requests, **timeouts):
    """What both ways come to, which is the same; how many were answered on the short one."""
    ordinary = await outcome(script, *requests, on_short_way=False, **timeouts)
    shortened = await outcome(script, *requests, on_short_way=True, **timeouts)
    assert shortened == ordinary
    assert ordinary.given == 0
    return shortened


@pytest.mark.parametrize("run", REAL_LOOPS)
@pytest.mark.parametrize("server", SERVERS)
def test_a_server(run, server):
    """Asked twice, so that the second request may find the first one's connection."""
    expected, script = SERVERS[server]

    async def scene():
        found = await both_ways(script, GET, GET)
        assert found.given in (expected if isinstance(expected, set) else {expected})

    run(scene())


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([OK, END], id="whole"),
        pytest.param([OK[:-2], OK[-2:], END], id="two pieces"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\nok", END], id="no length"),
        pytest.param([END], id="no answer"),
    ],
)
def test_a_server_that_speaks_uwsgi(script):
    """Each request has a connection of its own."""

    async def scene():
        found = await both_ways(script, GET, GET, protocol="uwsgi")
        assert found.given == (2 if b"Length" in b"".join(script[:-1]) else 0)
        assert len(found.sent) == (2 if found.given else found.received.count(b"HTTP/1.1"))

    run_uvloop(scene())


def test_a_server_that_takes_too_long():
    """The limit is the same, and as exact, though one who waits without a task looks at it late."""

    async def scene():
        found = await both_ways([0.3, OK], GET, response=0.1)
        assert b"response_timeout" in found.received

    run_uvloop(scene())


class Stingy(SocketStream):
    """A socket that takes ten bytes at once, as one does whose buffer is full."""

    def offer(self, pieces):
        """Send the first of them."""
        return super().offer([b"".join(pieces)[:10]])


@pytest.mark.parametrize("request_", ["GET", "a body"])
def test_a_server_that_takes_a_part_at_once(request_):
    """The rest is sent by a task, and so is its answer waited for."""
    text = GET if request_ == "GET" else _put(b"Content-Length: 50", bytes(50))

    def connect(address):
        return Stingy(connect_near(address.host, address.port))

    async def scene():
        found = await both_ways([OK], text, text, connect=connect)
        assert found.given == 0
        assert b"".join(found.sent).count(b" HTTP/1.1\r\n") == 2

    run_uvloop(scene())


@pytest.mark.parametrize("timeout", ["response", "response_idle"])
@pytest.mark.parametrize(("seconds", "given"), [(4.0, 0), (6.0, 1)])
def test_a_server_that_has_little_time(timeout, seconds, given):
    """It is waited for by a task from the beginning: a second more would be felt."""

    async def scene():
        found = await both_ways([OK], GET, **{timeout: seconds})
        assert found.given == given

    run_uvloop(scene())


def test_a_server_that_takes_longer_than_most(monkeypatch):
    """The application is run, and goes on with what was begun: the server gets one request."""
    monkeypatch.setattr("shim.server.protocol.PATIENCE", 0.01)

    async def scene():
        found = await both_ways([0.1, OK], GET, GET)
        assert found.given == 0
        assert len(found.sent) == 1
        assert found.received.count(b"ok") == 2

    run_uvloop(scene())


@given(cuts=st.lists(st.integers(1, len(OK) - 1), max_size=2))
@examples(20)
def test_an_answer_cut_anywhere(cuts):
    places = [0, *sorted(cuts), len(OK)]
    script = [piece for start, end in itertools.pairwise(places) if (piece := OK[start:end])]

    async def scene():
        found = await both_ways(script, GET, GET)
        assert found.given == 2

    run_uvloop(scene())


CHUNKED = b"Transfer-Encoding: chunked"


def _put(framing, body):
    return b"PUT /v2/images/1 HTTP/1.1\r\nHost: glance\r\n%b\r\n\r\n%b" % (framing, body)


REQUESTS = {
    "HEAD": (1, GET.replace(b"GET", b"HEAD", 1), [b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"]),
    "OPTIONS": (1, GET.replace(b"GET", b"OPTIONS", 1), [OK]),
    "DELETE, which is not sent again": (1, GET.replace(b"GET", b"DELETE", 1), [OK]),
    "an empty body": (1, _put(b"Content-Length: 0", b""), [OK]),
    "a body": (1, _put(b"Content-Length: 2", b"hi"), [OK]),
    "a body in chunks": (1, _put(CHUNKED, b"1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n"), [OK]),
    "an empty body in chunks": (1, _put(CHUNKED, b"0\r\n\r\n"), [OK]),
    "a body with trailers": (0, _put(CHUNKED, b"2\r\nhi\r\n0\r\nDigest: x\r\n\r\n"), [OK]),
    "the largest body": (1, _put(b"Content-Length: %d" % MEMORY, bytes(MEMORY)), [OK]),
    "a larger body": (0, _put(b"Content-Length: %d" % (MEMORY + 1), bytes(MEMORY + 1)), [OK]),
    "a larger body in chunks": (0, _put(CHUNKED, b"70\r\n%b\r\n0\r\n\r\n" % bytes(0x70)), [OK]),
    "no chunks": (0, _put(CHUNKED, b"2\r\nhi0\r\n\r\n"), [OK]),
    "a declared digest": (
        0,
        _put(b"Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: 2", b"hi"),
        [OK],
    ),
    "two lengths": (0, _put(b"Content-Length: 2\r\nContent-Length: 3", b"hi"), [OK]),
    "POST": (1, _put(b"Content-Length: 2", b"hi").replace(b"PUT", b"POST"), [OK]),
    "PATCH, refused": (
        1,
        _put(b"Content-Length: 2", b"hi").replace(b"PUT", b"PATCH"),
        [b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno", END],
    ),
    "an answer before the body": (
        1,
        _put(b"Content-Length: 2", b"hi"),
        [b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", END],
    ),
    "a body, and no answer": (0, _put(b"Content-Length: 2", b"hi"), [END]),
    "a body, and half an answer": (0, _put(b"Content-Length: 2", b"hi"), [OK[:-1], END]),
    "an expectation": (0, GET.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), [OK]),
    "a size without a body": (0, GET.replace(b"X-Auth-Token: t", b"X-OpenStack-Image-Size: 5"), [OK]),
    "HTTP/1.0": (0, GET.replace(b"/1.1", b"/1.0"), [OK]),
    "the whole URL": (1, GET.replace(b" /v2", b" http://other/v2"), [OK]),
    "a query, and escapes": (1, GET.replace(b"/images", b"/im%2Fages?a=%20&b"), [OK]),
    "a client that closes": (1, GET.replace(b"X-Auth-Token: t", b"Connection: close"), [OK]),
    "its own id": (1, GET.replace(b"X-Auth-Token: t", b"X-Request-Id: req-%b" % UUID), [OK]),
    "another's address": (1, GET.replace(b"X-Auth-Token: t", b"X-Forwarded-For: 192.0.2.1"), [OK]),
    "no such host": (0, GET.replace(b"Host: glance", b"Host: a b"), [OK]),
    "CONNECT": (0, GET.replace(b"GET /v2/images", b"CONNECT a:1"), [OK]),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request(request_):
    expected, text, script = REQUESTS[request_]

    async def scene():
        found = await both_ways(script, text, text)
        assert found.given in (expected, 2 * expected)

    run_uvloop(scene())


def test_nothing_is_left_for_the_collector():
    """It comes by once in ten thousand objects, and a body may be 64 KiB."""
    requests = [GET, _put(b"Content-Length: 2", b"hi"), _put(CHUNKED, b"2\r\nhi\r\n0\r\n\r\n"), GET]
    kinds = (ShortExchange, ShortRequest, Exchange, PendingRequest, Connection, BytesBody)

    async def scene(script):
        # Other tests may have left some, in what they were marked or parametrized with.
        others = {id(one): one for one in gc.get_objects() if isinstance(one, kinds)}
        gc.disable()
        try:
            found = await outcome(script, *requests, on_short_way=True)
            assert len(found.told) == len(requests)
            left = [one for one in gc.get_objects() if isinstance(one, kinds)]
            return [type(one) for one in left if id(one) not in others]
        finally:
            gc.enable()

    for name in ("whole", "chunks"):
        assert run_uvloop(scene(SERVERS[name][1])) == []


def test_the_next_request_may_be_another():
    """What is known of a connection's fields is used for the same bytes alone."""
    others = [GET, GET.replace(b"images", b"tasks"), GET.replace(b"Token: t", b"Token: u"), GET, GET + GET]

    async def scene():
        found = await both_ways([OK], *others)
        assert found.given >= len(others)
        assert [sent.count(b"x-auth-token: u") for sent in found.sent] == [1]

    run_uvloop(scene())


@pytest.mark.parametrize("run", REAL_LOOPS)
@pytest.mark.parametrize("on_short_way", [False, True])
def test_what_comes_unasked_answers_nobody(run, on_short_way):
    """Also where the loop has not told of it yet: it is there when the next request is sent."""

    async def scene():
        async with behind([OK]) as (flow, server), serving(flow.application) as (connect, state):
            if on_short_way:
                flow.application.short_way = ShortRequests(flow.proxy, TrustedProxies())
            reader, writer = await connect()
            writer.write(GET)
            await reader.readuntil(b"ok")
            while not len(flow.upstream.servers[0].idle):
                await asyncio.sleep(0.001)
            (to_shim,) = server.writers
            os.write(to_shim.get_extra_info("socket").fileno(), OK.replace(b"ok", b"no"))
            (connection,) = state.connections
            connection.data_received(GET)
            assert (await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2)).endswith(b"ok")
            await hang_up(writer)

    run(scene())


@pytest.mark.parametrize("ready", [0, 1])
def test_a_slot_is_taken_or_waited_for(ready):
    async def scene():
        async with behind([0.05, OK]) as (flow, _), serving(flow.application) as (connect, _state):
            flow.application.short_way = way = Counting(flow.proxy, TrustedProxies())
            flow.upstream.queue.limit(0, ready)
            clients = [await connect() for _ in range(3)]
            for _, writer in clients:
                writer.write(GET)
            await asyncio.sleep(0.02)
            assert flow.upstream.queue.used(0) == ready
            assert flow.upstream.queue.waiting == 3 - ready
            flow.upstream.queue.limit(0, 1)
            for reader, writer in clients:
                assert await reader.readuntil(b"ok")
                await hang_up(writer)
            # Who had to wait for a slot was served by a task.
            assert way.given == ready

    run_uvloop(scene())


@pytest.mark.parametrize("leaves", ["closes", "half-closes", "is cut off"])
def test_a_client_that_leaves(leaves):
    """It is counted and told as in the ordinary way, and its server's slot is free at once."""

    async def scene(*, on_short_way):
        async with behind([20.0, OK], response=60) as (flow, server):
            async with serving(flow.application) as (connect, state):
                if on_short_way:
                    flow.application.short_way = ShortRequests(flow.proxy, TrustedProxies())
                _, writer = await connect()
                writer.write(GET)
                while not any(server.connections):
                    await asyncio.sleep(0.001)
                assert bool(state.tasks) != on_short_way
                if leaves == "half-closes":
                    writer.write_eof()
                elif leaves == "closes":
                    await hang_up(writer)
                else:
                    writer.transport.abort()
                while flow.upstream.queue.used(0):
                    await asyncio.sleep(0.001)
                await hang_up(writer)
            return flow.refusals, flow.requests

    async def both():
        assert await scene(on_short_way=True) == await scene(on_short_way=False)

    run_uvloop(both())


def test_a_body_counts_among_the_bytes_that_are_held():
    async def scene():
        async with (
            behind([20.0, OK], response=60) as (flow, server),
            serving(flow.application) as (connect, state),
        ):
            flow.application.short_way = ShortRequests(flow.proxy, TrustedProxies())
            _, writer = await connect()
            writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nfoobar")
            while not any(server.connections):
                await asyncio.sleep(0.001)
            assert not state.tasks
            assert flow.store.held == 6
            await hang_up(writer)
            while flow.store.held:
                await asyncio.sleep(0.001)

    run_uvloop(scene())


def test_the_server_drains():
    """What is under way comes to its end, by a task that can be ended."""

    async def scene():
        async with behind([0.05, OK]) as (flow, server), serving(flow.application) as (connect, state):
            flow.application.short_way = ShortRequests(flow.proxy, TrustedProxies())
            reader, writer = await connect()
            writer.write(GET)
            while not any(server.connections):
                await asyncio.sleep(0.001)
            flow.drain.begin()
            (connection,) = state.connections
            connection.shutdown()
            assert len(state.tasks) == 1
            assert b"connection: close" in (answer := await reader.read())
            assert answer.endswith(b"ok")
            await hang_up(writer)

    run_uvloop(scene())


def test_a_descriptor_that_is_not_watched(monkeypatch):
    """The request is sent by then: it is gone on with, and not begun anew."""

    def refuse(_watch, *_):
        raise OSError(errno.ENOSPC, "as many as the kernel takes")

    monkeypatch.setattr("shim.upstream.descriptor_watch.DescriptorWatch.start", refuse)

    async def scene():
        found = await both_ways([OK], GET.replace(b"GET", b"DELETE", 1))
        assert [sent.count(b"DELETE") for sent in found.sent] == [1]
        assert b"200 OK" in found.received

    run_uvloop(scene())


def test_a_task_that_is_cancelled_before_its_first_step():
    """Nobody goes on with the request, and nothing is held for it."""

    async def scene():
        async with behind([20.0, OK]) as (flow, server), serving(flow.application) as (connect, state):
            flow.application.short_way = ShortRequests(flow.proxy, TrustedProxies())
            _, writer = await connect()
            writer.write(GET)
            while not any(server.connections):
                await asyncio.sleep(0.001)
            (connection,) = state.connections
            connection.shutdown()
            (task,) = state.tasks
            task.cancel()
            await asyncio.wait({task})
            assert flow.upstream.queue.used(0) == 0
            await hang_up(writer)

    run_uvloop(scene())
