"""One server's connections: which request may go on one that was used before, and that all are closed."""

import asyncio
import contextlib

import pytest

from shim.errors import (
    ConnectTimeout,
    HeadTooLarge,
    ResponseTimeout,
    SendTimeout,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamRefused,
)
from shim.observe.journal import Phase
from shim.upstream.address import parse_upstream
from shim.upstream.handoff import Offer, Way
from shim.upstream.idle import CLOSING_BELIEVED, MOST_CONNECTIONS, MOST_IDLE
from shim.upstream.message import BytesBody, UpstreamRequest, UpstreamTimeouts
from shim.upstream.pool import Server
from tests.fakes.loops import let_others_run, run_leaping
from tests.fakes.stream import EOF, Asked, FakeNetwork, FakeStream, answer
from tests.support.series import series

HTTP = parse_upstream("http://glance:9292")
UWSGI = parse_upstream("uwsgi://glance:3031")
RESET = UpstreamClosed("The connection to the upstream broke: Connection reset by peer.")
TIMEOUTS = UpstreamTimeouts(connect=5, send=60, response=300, response_idle=30)


def request_of(method="GET", body=None, **fields):
    return UpstreamRequest(
        method, b"/", [(b"host", b"glance")], None if body is None else BytesBody(body), **fields
    )


async def ignore(_head):
    """Interim answers are of no interest here."""


class Pool:
    """A server over scripted connections, with a clock that a test moves."""

    def __init__(self, *outcomes, address=HTTP):
        self.now = 1000.0
        self.network = FakeNetwork(*outcomes)
        self.server = Server(address, TIMEOUTS, connect=self.network.connect, clock=lambda: self.now)
        self.phases = []

    def exchange(self, request):
        return self.server.exchange(request, interim=ignore, enter=self.phases.append)

    async def ask(self, method="GET", body=None):
        """A whole exchange; status and body of the answer."""
        async with self.exchange(request_of(method, body)) as response:
            assert self.server.inflight > 0
            return response.status, b"".join([bytes(piece) async for piece in response.pieces()])

    @property
    def opened(self):
        return len(self.network.attempts)

    @property
    def open_streams(self):
        return [number for number, stream in enumerate(self.network.streams) if not stream.closed]

    async def end(self):
        assert self.server.inflight == 0
        await self.server.close()
        assert self.open_streams == []


def run_pool(scene, *outcomes, **options):
    """Run a scene over a pool, and check at its end that nothing is left open."""

    async def whole():
        pool = Pool(*outcomes, **options)
        await scene(pool)
        await pool.end()

    run_leaping(whole())


def serving(*answers):
    """A connection on which so many requests are answered, each once the one before is done."""
    return FakeStream(*[step for data in answers for step in (Asked(), data)])


# -- reuse ----------------------------------------------------------------------------------------


@series(
    ("method", "body", "reuses"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("OPTIONS", None, True),
        ("GET", b"", False),
        ("GET", b"x", False),
        ("POST", None, False),
        ("PUT", b"x", False),
        ("DELETE", None, False),
        ("PATCH", b"x", False),
        ("UNKNOWN", None, False),
    ],
)
def test_only_what_may_be_repeated_goes_on_an_idle_connection(method, body, reuses):
    async def scene(pool):
        await pool.ask()
        assert pool.open_streams == [0]
        await pool.ask(method, body)
        assert pool.opened == (1 if reuses else 2)

    bodiless = method == "HEAD"
    data = answer(200, b"" if bodiless else b"ok", framing=b"Content-Length: 2")
    run_pool(scene, serving(answer(), data), serving(data))


def test_what_goes_on_a_fresh_connection_leaves_it_for_others():
    async def scene(pool):
        await pool.ask("PUT", b"x")
        await pool.ask()
        assert pool.opened == 1

    run_pool(scene, serving(answer(), answer()))


def test_requests_at_the_same_time_have_connections_of_their_own():
    async def scene(pool):
        async with pool.exchange(request_of()) as first, pool.exchange(request_of()) as second:
            assert pool.server.inflight == 2
            assert pool.opened == 2
            for response in (first, second):
                assert [bytes(piece) async for piece in response.pieces()] == [b"ok"]
        assert pool.open_streams == [0, 1]
        assert repr(pool.server) == "<Server http://glance:9292, 0 in flight, 2 idle>"

    run_pool(scene, serving(answer()), serving(answer()))


def test_the_one_used_last_is_used_again():
    async def scene(pool):
        async with pool.exchange(request_of()) as first:
            assert await pool.ask() == (200, b"second")
            assert [bytes(piece) async for piece in first.pieces()] == [b"first"]
        assert await pool.ask() == (200, b"again")

    run_pool(scene, serving(answer(200, b"first"), answer(200, b"again")), serving(answer(200, b"second")))


@pytest.mark.parametrize(("age", "opened"), [(0, 1), (MOST_IDLE, 1), (MOST_IDLE + 0.1, 2)])
def test_an_old_one_is_closed(age, opened):
    async def scene(pool):
        await pool.ask()
        pool.now += age
        await pool.ask()
        assert pool.opened == opened
        assert len(pool.open_streams) == 1

    run_pool(scene, serving(answer(), answer()), serving(answer()))


def test_so_many_are_kept_and_no_more():
    async def scene(pool):
        async def hold(go_on):
            async with pool.exchange(request_of()) as response:
                await go_on.wait()
                async for _piece in response.pieces():
                    pass

        go_on = asyncio.Event()
        tasks = [asyncio.ensure_future(hold(go_on)) for _ in range(MOST_CONNECTIONS + 3)]
        await let_others_run(30)
        assert pool.server.inflight == MOST_CONNECTIONS + 3
        go_on.set()
        await asyncio.wait(tasks)
        assert len(pool.open_streams) == MOST_CONNECTIONS
        # What would find no place is said beforehand: the server then closes, and need not be told.
        await pool.ask("POST")
        assert closing(pool, -1)
        assert len(pool.open_streams) == MOST_CONNECTIONS

    run_pool(scene, *[serving(answer()) for _ in range(MOST_CONNECTIONS + 4)])


@pytest.mark.parametrize(
    "data",
    [
        answer(200, b"ok", b"Connection: close"),
        answer().replace(b"/1.1", b"/1.0"),
        answer() + b"x",
        answer(204, b"", framing=b"") + b"x",
    ],
    ids=["close", "HTTP/1.0", "bytes after the end", "bytes after an empty one"],
)
def test_an_answer_after_which_nothing_follows(data):
    async def scene(pool):
        await pool.ask()
        assert pool.open_streams == []

    run_pool(scene, FakeStream(data))


def test_uwsgi_is_one_request_a_connection():
    async def scene(pool):
        assert not pool.server.keeps_alive
        await pool.ask()
        assert pool.open_streams == []
        await pool.ask()
        assert pool.opened == 2

    run_pool(scene, FakeStream(answer()), FakeStream(answer()), address=UWSGI)


# -- servers that close without saying so ---------------------------------------------------------


@pytest.mark.parametrize("end", [EOF, RESET], ids=["end", "reset"])
def test_a_stale_connection_is_never_noticed(end):
    async def scene(pool):
        await pool.ask()
        # The end comes with the request: it could not be seen before.
        assert await pool.ask() == (200, b"fresh")
        assert pool.opened == 2
        assert pool.network.streams[0].closed
        once = [Phase.CONNECT, Phase.SEND]
        assert [phase for phase in pool.phases if phase is not Phase.WAIT] == once * 3
        assert not pool.server.keeps_alive

    run_pool(scene, serving(answer(), end), serving(answer(200, b"fresh")))


@pytest.mark.parametrize("end", [EOF, RESET], ids=["end", "reset"])
def test_a_stale_connection_is_replaced_once(end):
    async def scene(pool):
        await pool.ask()
        with pytest.raises(UpstreamClosed):
            await pool.ask()
        assert pool.opened == 2

    run_pool(scene, serving(answer(), end), serving(end))


def test_an_answer_that_has_begun_is_not_asked_for_again():
    async def scene(pool):
        await pool.ask()
        with pytest.raises(UpstreamClosed):
            await pool.ask()
        assert pool.opened == 1

    run_pool(scene, FakeStream(answer(), Asked(), b"HTTP/1.1 2", EOF))


@pytest.mark.parametrize(("script", "error"), [([], ResponseTimeout), ([b"x\r\n\r\n"], UpstreamInvalid)])
def test_only_an_end_makes_a_connection_stale(script, error):
    async def scene(pool):
        await pool.ask()
        with pytest.raises(error):
            await pool.ask()
        assert pool.opened == 1

    run_pool(scene, FakeStream(answer(), Asked(), *script))


def closing(pool, stream):
    """Whether a request asked the server to close."""
    return b"connection: close" in pool.network.streams[stream].sent


def test_a_server_seen_to_close_is_asked_to():
    async def scene(pool):
        await pool.ask()
        pool.now += 0.5
        ended.set()
        await pool.ask()
        assert not closing(pool, 0)
        assert not pool.server.keeps_alive
        # What was said to it before it was found out is no longer held to.
        assert pool.open_streams == []
        await pool.ask()
        assert closing(pool, 2)
        assert pool.open_streams == []
        pool.now += CLOSING_BELIEVED - 0.1
        await pool.ask()
        assert closing(pool, 3)
        pool.now += 0.1
        await pool.ask()
        assert not closing(pool, 4)
        assert pool.open_streams == [4]

    ended = asyncio.Event()
    run_pool(scene, FakeStream(answer(), ended, EOF), *[serving(answer()) for _ in range(4)])


@pytest.mark.parametrize("news", [EOF, b"x", RESET], ids=["end", "bytes", "reset"])
def test_a_connection_with_news_is_not_kept(news):
    async def scene(pool):
        await pool.ask()
        assert pool.open_streams == []
        assert pool.server.keeps_alive

    run_pool(scene, FakeStream(answer(), news))


def test_an_idle_connection_that_ended_late_teaches_nothing():
    async def scene(pool):
        await pool.ask()
        pool.now += 2
        ended.set()
        await pool.ask()
        assert pool.network.streams[0].closed
        assert pool.server.keeps_alive

    ended = asyncio.Event()
    run_pool(scene, FakeStream(answer(), ended, EOF), serving(answer()))


# -- every connection is closed -------------------------------------------------------------------

BROKEN = [
    ("no answer", {"script": [EOF]}, UpstreamClosed),
    ("reset", {"script": [RESET]}, UpstreamClosed),
    ("half a head", {"script": [b"HTTP/1.1", EOF]}, UpstreamClosed),
    ("half a body", {"script": [answer(200, b"o", framing=b"Content-Length: 2"), EOF]}, UpstreamClosed),
    ("no HTTP", {"script": [b"hello\r\n\r\n"]}, UpstreamInvalid),
    ("two lengths", {"script": [answer(200, b"ok", b"Content-Length: 2")]}, UpstreamInvalid),
    (
        "bad chunks",
        {"script": [answer(200, b"x", framing=b"Transfer-Encoding: chunked") + b"\r\n"]},
        UpstreamInvalid,
    ),
    ("silence", {"script": []}, ResponseTimeout),
    ("silence in the body", {"script": [answer(200, b"", framing=b"Content-Length: 2")]}, ResponseTimeout),
    ("deaf", {"script": [], "stalls_after": 10}, SendTimeout),
]


@series("method", ["GET", "PUT"])
@series(("stream", "error"), [case[1:] for case in BROKEN])
def test_a_failed_exchange_closes(stream, error, method):
    async def scene(pool):
        with pytest.raises(error):
            await pool.ask(method, b"x" if method == "PUT" else None)
        assert pool.open_streams == []
        assert pool.opened == 1

    options = dict(stream)
    run_pool(scene, FakeStream(*options.pop("script"), **options))


@pytest.mark.parametrize("error", [UpstreamRefused("refused"), ConnectTimeout("late")], ids=lambda e: e.code)
def test_no_connection(error):
    async def scene(pool):
        with pytest.raises(type(error)):
            await pool.ask()
        assert pool.network.attempts == [(HTTP, 5)]
        assert pool.phases == [Phase.CONNECT]

    run_pool(scene, error)


def test_a_head_too_large_costs_no_connection():
    async def scene(pool):
        request = UpstreamRequest("GET", b"/", [(b"x-large", b"x" * 65536)])
        with pytest.raises(HeadTooLarge):
            async with pool.exchange(request):
                pass
        assert pool.opened == 0
        assert pool.phases == []

    run_pool(scene, address=UWSGI)


class FileBody(BytesBody):
    """A body whose file may be handed off."""

    def fileno(self):
        return 0


def test_a_hand_off_that_comes_to_nothing_closes(monkeypatch):
    async def scene(pool):
        @contextlib.asynccontextmanager
        async def offer(_file, _stream):
            yield Offer(b"/spool/" + b"x" * 65536, Way.NAME, asyncio.Event())

        monkeypatch.setattr(pool.server.hand_off, "offer", offer)
        request = request_of("PUT")._replace(body=FileBody(b"x"), is_handed_off=True)
        with pytest.raises(HeadTooLarge):
            async with pool.exchange(request):
                pass
        assert pool.opened == 1
        assert pool.open_streams == []

    run_pool(scene, FakeStream(), address=UWSGI)


def test_an_answer_not_read_to_its_end_closes():
    async def scene(pool):
        async with pool.exchange(request_of()) as response:
            assert response.status == 200
        assert pool.open_streams == []

    run_pool(scene, serving(answer()))


def test_a_fault_of_the_caller_closes():
    async def stumble(pool):
        async with pool.exchange(request_of()):
            raise KeyError

    async def scene(pool):
        with pytest.raises(KeyError):
            await stumble(pool)
        assert pool.open_streams == []

    run_pool(scene, serving(answer()))


@pytest.mark.parametrize(
    "stream",
    [
        {"script": []},
        {"script": [], "stalls_after": 10},
        {"script": [answer(200, b"", framing=b"Content-Length: 2")]},
    ],
    ids=["waiting", "sending", "reading"],
)
@series("method", ["GET", "PUT"])
def test_a_cancelled_exchange_closes(stream, method):
    async def scene(pool):
        task = asyncio.ensure_future(pool.ask(method, b"x" if method == "PUT" else None))
        await let_others_run(30)
        assert pool.server.inflight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.open_streams == []

    options = dict(stream)
    run_pool(scene, FakeStream(*options.pop("script"), **options))


def test_cancelled_on_an_idle_connection():
    async def scene(pool):
        await pool.ask()
        task = asyncio.ensure_future(pool.ask())
        await let_others_run(30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.opened == 1
        assert pool.open_streams == []
        assert pool.server.keeps_alive

    run_pool(scene, serving(answer(), asyncio.Event()))
