"""Answers from socket to socket: every byte and none beyond, each side's end and each side's pace.

First the relay alone between two pairs of sockets, then as a client's connection offers it.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from types import SimpleNamespace

import pytest
from uvicorn.server import ServerState

from shim.admission.limits import AnswerPace
from shim.asgi import AnswerSource, Movement, inbound_of
from shim.errors import ClientGone, ClientTooSlow, ResponseTimeout, UpstreamClosed
from shim.server import relay as relay_module
from shim.server.connection_options import ConnectionOptions
from shim.server.protocol import ClientConnection
from shim.server.relay import LEAST_PIPE, LEAST_RELAYED, LOOK_ON, PIPE_SIZE, Relay
from shim.timing import UNLIMITED
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, let_others_run, run_leaping
from tests.fakes.payload import numbered
from tests.fakes.pumping import FakeClock, Line, cancelled, pumping, waits
from tests.fakes.session import read_answers
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
on_both_kinds = pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
MIB = 1024 * 1024


class Relaying:
    """A relay between an upstream and a client; ``client`` names the far ends of both lines."""

    def __init__(self, poller, size, *, tcp=False, small=False):
        self.upstream, self.client = Line(tcp=tcp), Line(tcp=tcp)
        if small:
            self.client.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.relay = Relay(poller, self.upstream.ours.fileno(), self.client.ours.fileno(), size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.relay.close()
        self.upstream.__exit__()
        self.client.__exit__()

    def start(self):
        """The relay at work, as a task."""
        return asyncio.ensure_future(self.relay.perform())

    async def got(self, size=None):
        """What the client gets: so many bytes, or all until its connection ends."""
        data = bytearray()
        loop = asyncio.get_running_loop()
        while size is None or len(data) < size:
            piece = await loop.sock_recv(self.client.client, 1 << 18)
            if not piece:
                break
            data += piece
        return bytes(data)


async def stands(relay):
    """Wait until all buffers are full: it waits for its client, and has taken nothing for many looks."""
    looks, taken = 0, relay.passed_on
    async with asyncio.timeout(20):
        while looks < 50:
            await asyncio.sleep(0.001)
            looks = looks + 1 if relay._waits_for_client and relay.passed_on == taken else 0
            taken = relay.passed_on


# -- the relay alone ------------------------------------------------------------------------------


@on_both_kinds
@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, PIPE_SIZE, 3 * PIPE_SIZE + 1])
def test_every_byte_and_none_beyond(size, tcp):
    data = numbered(size)

    async def scene(poller):
        with Relaying(poller, size, tcp=tcp) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data + b"the next answer"))
            assert await line.got(size) == data
            assert await task == size == line.relay.passed_on
            await sending
            assert line.upstream.ours.recv(100) == b"the next answer"
            assert line.client.ours.send(b"!") == 1
            assert line.client.client.recv(100) == b"!", "nothing came after the end"

    pumping(scene)


@on_both_loops
@pytest.mark.parametrize("piece", [1, 1000, 70_000])
def test_what_comes_in_pieces(run, piece):
    data = numbered(piece * 30)

    async def scene(poller):
        with Relaying(poller, len(data)) as line:
            task = line.start()
            for start in range(0, len(data), piece):
                await line.upstream.send(data[start : start + piece])
                assert await line.got(piece) == data[start : start + piece]
            assert await task == len(data)

    pumping(scene, run=run)


@on_both_kinds
@pytest.mark.parametrize("most", [1, 777, PIPE_SIZE])
def test_sockets_that_take_and_give_little(monkeypatch, most, tcp):
    """Nothing at every third call, and else only a little: nothing is lost, doubled or mixed up."""
    data = numbered(300 * min(most, 3000))
    splice, calls = os.splice, iter(range(1 << 40))

    def reluctant(source, target, count, **options):
        if next(calls) % 3 == 0:
            raise BlockingIOError
        return splice(source, target, min(count, most), **options)

    monkeypatch.setattr(os, "splice", reluctant)

    async def scene(poller):
        with Relaying(poller, len(data), tcp=tcp) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data))
            assert await line.got(len(data)) == data
            await sending
            assert await task == len(data)

    pumping(scene)


@on_both_loops
def test_a_slow_client(run):
    """The upstream is held back meanwhile: only what pipe and sockets hold is on its way."""
    data = numbered(8 * MIB)

    async def scene(poller):
        with Relaying(poller, len(data), small=True) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data))
            await asyncio.sleep(0.05)
            assert line.relay.passed_on < 2 * MIB
            assert not sending.done()
            assert await line.got(len(data)) == data
            await sending
            assert await task == len(data)

    pumping(scene, run=run)


@on_both_kinds
@pytest.mark.parametrize("came", [0, 1, 5000, PIPE_SIZE])
def test_an_upstream_that_ends_early(came, tcp):
    """What came before is passed on, and then it is an error."""
    data = numbered(came)

    async def scene(poller):
        with Relaying(poller, came + 1, tcp=tcp, small=not tcp) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data))
            got = asyncio.ensure_future(line.got(came))
            await sending
            line.upstream.finish()
            assert await got == data
            with pytest.raises(UpstreamClosed, match="in the middle of its answer"):
                await task

    pumping(scene)


def test_an_upstream_that_resets():
    async def scene(poller):
        with Relaying(poller, MIB, tcp=True) as line:
            task = line.start()
            await line.upstream.send(b"foo")
            assert await line.got(3) == b"foo"
            line.upstream.reset()
            with pytest.raises(UpstreamClosed, match="broke: Connection reset by peer"):
                await task

    pumping(scene)


@on_both_kinds
@pytest.mark.parametrize("how", ["finish", "close", "reset"])
def test_a_client_that_leaves(tcp, how):
    async def scene(poller):
        with Relaying(poller, 64 * MIB, tcp=tcp) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(numbered(64 * MIB)))
            await line.got(1000)
            if how == "reset" and tcp:
                line.client.reset()
            elif how == "finish":
                # In both directions: that it only reads no more is told by no socket without room in it.
                line.client.client.shutdown(socket.SHUT_RDWR)
                if tcp:
                    # TCP tells that it sends no more, and such a client may still read.
                    line.client.client.close()
            else:
                line.client.client.close()
            with pytest.raises(ClientGone):
                await task
            await cancelled(sending)

    pumping(scene)


@on_both_loops
@series("times", [1, 2, 3])
@series("waiting", ["upstream", "client"])
def test_cancelled(run, waiting, times):
    async def scene(poller):
        with Relaying(poller, 64 * MIB) as line:
            task = line.start()
            await waits(line.relay)
            sending = asyncio.ensure_future(line.upstream.send(bytes(32 * MIB if waiting == "client" else 5)))
            while line.relay._waits_for_client != (waiting == "client") or not line.relay.passed_on:
                await asyncio.sleep(0)
            assert await cancelled(task, times)
            assert poller.active == 0
            await cancelled(sending)

    pumping(scene, run=run)


@on_both_loops
def test_cancelled_at_any_moment(run):
    """Nothing of one answer comes to the next client, though descriptors and pipes have the same numbers."""

    async def scene(poller):
        # Each of 40 moments twice, cancelled once and twice.
        for turn in range(80):
            kind = bytes([turn % 251])
            with Relaying(poller, 3 * MIB) as line:
                task = line.start()
                sending = asyncio.ensure_future(line.upstream.send(kind * (3 * MIB)))
                getting = asyncio.ensure_future(line.got(3 * MIB))
                await let_others_run(turn % 40)
                await cancelled(task, 1 + turn // 40)
                assert poller.active == 0
                await cancelled(sending)
                line.client.ours.shutdown(socket.SHUT_WR)
                got = await getting
                assert got == kind * line.relay.passed_on

    pumping(scene, run=run)


def test_whose_time_it_is():
    """Each side's clock runs only while it is waited for; the upstream's begins anew with each byte."""

    async def scene(poller):
        clock = poller.clock
        with Relaying(poller, 16 * MIB, small=True) as line:
            relay = line.relay

            def passes(seconds):
                clock.now += seconds
                return relay.silence, relay.client_waited

            assert passes(100) == (0, 0), "nobody waits yet"
            task = line.start()
            await waits(relay)
            assert passes(5) == (5, 0)
            assert passes(5) == (10, 0)
            sending = asyncio.ensure_future(line.upstream.send(numbered(16 * MIB)))
            await stands(relay)
            assert passes(7) == (0, 7), "the client is waited for, and the upstream has sent"
            taken = relay.passed_on
            await line.got(relay.passed_on)
            while relay.passed_on == taken:
                await asyncio.sleep(0)
            await stands(relay)
            assert passes(3) == (0, 10), "it has taken something"
            assert len(await line.got(16 * MIB - taken)) == 16 * MIB - taken
            await sending
            assert await task == 16 * MIB
            assert passes(100) == (0, 10)

    pumping(scene, clock=FakeClock())


class Unresting:
    """A relay whose threads go on between any two looks at its numbers."""

    silence = 0.0

    def __init__(self):
        self._passed_on = 0
        self._client_waited = 0.0
        self._is_over = False

    async def perform(self):
        await asyncio.sleep(10 * LOOK_ON)
        self._is_over = True

    @property
    def passed_on(self):
        self._passed_on += 0 if self._is_over else 1000
        return self._passed_on

    @property
    def client_waited(self):
        self._client_waited += 0 if self._is_over else 0.5
        return self._client_waited


def test_what_is_passed_on_while_it_is_counted_counts_once():
    relay, told, counted, waits = Unresting(), [], [], []
    floor = SimpleNamespace(next_check=UNLIMITED, add=lambda waited, _size: waits.append(waited))
    stream = SimpleNamespace(count_moved=counted.append, floor=floor, newly_delivered=int)
    source = AnswerSource(-1, MIB, 30.0, ResponseTimeout("silent"))

    def moved(size, seconds):
        told.append((size, seconds))
        return True

    run_leaping(relay_module._watch(relay, stream, source, moved))
    assert len(waits) > 5
    assert sum(counted) == relay.passed_on == told[-1][0]
    assert sum(waits) == told[len(waits) - 1][1]


def test_what_a_slow_client_leaves():
    """Called back, the relay tells what it has taken: with what the client got that is every byte, once."""
    data = numbered(8 * MIB)

    async def scene(poller):
        with Relaying(poller, len(data), small=True) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data))
            await waits(line.relay)
            while not line.relay._waits_for_client:
                await asyncio.sleep(0.001)
            await cancelled(task)
            held = line.relay.take_held()
            assert held
            assert line.relay.take_held() == b""
            before = await line.got(line.relay.passed_on)
            assert before + held == data[: len(before + held)]
            left = len(data) - len(before + held)
            rest = b""
            while len(rest) < left:
                rest += await asyncio.get_running_loop().sock_recv(line.upstream.ours, left)
            assert before + held + rest == data
            await sending

    pumping(scene)


# -- pipes and descriptors ------------------------------------------------------------------------


def small_pipes(monkeypatch, size):
    """A kernel that grants pipes of no more than so many bytes."""
    call = fcntl.fcntl

    def granting(descriptor, command, value=0):
        if command == fcntl.F_SETPIPE_SZ:
            call(descriptor, command, size)
            raise PermissionError(1, "not permitted")
        return call(descriptor, command, value)

    monkeypatch.setattr(fcntl, "fcntl", granting)


def test_a_smaller_pipe_does_it_too(monkeypatch):
    small_pipes(monkeypatch, LEAST_PIPE)
    data = numbered(MIB)

    async def scene(poller):
        with Relaying(poller, MIB) as line:
            task = line.start()
            sending = asyncio.ensure_future(line.upstream.send(data))
            assert await line.got(MIB) == data
            await sending
            assert await task == MIB

    pumping(scene)


def test_a_tiny_pipe_is_not_worth_it(monkeypatch):
    small_pipes(monkeypatch, 4096)

    async def scene(poller):
        with Line() as line, none_left(), pytest.raises(OSError, match="useful size"):
            Relay(poller, line.ours.fileno(), line.ours.fileno(), MIB)

    pumping(scene)


@pytest.mark.parametrize("call", ["first dup", "second dup", "pipe2"])
def test_no_descriptor_left(monkeypatch, call):
    name, left = {"first dup": ("dup", 0), "second dup": ("dup", 1), "pipe2": ("pipe2", 0)}[call]
    real, calls = getattr(os, name), iter(range(10))

    def limited(*values):
        if next(calls) >= left:
            raise OSError(24, "too many open files")
        return real(*values)

    async def scene(poller):
        with Line() as line, none_left(), monkeypatch.context() as patch:
            patch.setattr(os, name, limited)
            with pytest.raises(OSError, match="too many"):
                Relay(poller, line.ours.fileno(), line.ours.fileno(), MIB)

    pumping(scene)


# -- on a client's connection ---------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: glance\r\n\r\n"
SILENT = ResponseTimeout("silent")


class Mover:
    """Answers each request with ``size`` bytes: ``first`` of them sent, the rest moved from ``line``."""

    def __init__(self, size=MIB, *, first=1000, idle=60.0):
        self.size, self.first, self.idle = size, first, idle
        self.claimed = size - first
        self.has_length = True
        self.line = Line()
        self.data = numbered(size)
        self.outcomes = []
        self.moved = 0
        self.keeps_up = True

    def move(self, size, _seconds):
        self.moved = size
        return self.keeps_up

    async def __call__(self, scope, receive, send):
        headers = [(b"content-length", b"%d" % self.size)] if self.has_length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        first = self.data[: self.first]
        await send({"type": "http.response.body", "body": first, "more_body": True})
        source = AnswerSource(self.line.ours.fileno(), self.claimed, self.idle, SILENT)
        try:
            outcome = await inbound_of(scope).move_answer(source, self.move)
        except BaseException as error:
            self.outcomes.append(type(error))
            raise
        self.outcomes.append(outcome)
        came = self.first if outcome is None else self.first + outcome.taken - len(outcome.held)
        await send({"type": "http.response.body", "body": self.data[came:]})

    async def ended(self, count=1):
        """Wait for so many answers' ends, which the client may see earlier; how they were."""
        async with asyncio.timeout(10):
            while len(self.outcomes) < count:
                await asyncio.sleep(0.001)
        return self.outcomes

    async def feed(self):
        """The upstream's part, all of it."""
        await self.line.send(memoryview(self.data)[self.first :])


@contextlib.asynccontextmanager
async def serving(mover, poller, *, relays=True, **options):
    """Serve the mover on loopback; gives a client's stream, and the server's state."""
    state = ServerState()
    config = SimpleNamespace(loaded_app=mover)
    loop = asyncio.get_running_loop()
    limits = ConnectionOptions(**options)
    server = await loop.create_server(
        lambda: ClientConnection(config, state, {}, options=limits, relays=poller if relays else None),
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
        mover.line.__exit__()
        async with asyncio.timeout(10):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)


@on_both_loops
def test_an_answer_and_the_next_requests(run):
    """The connection goes on: with requests that came meanwhile, and with one that comes later."""

    async def scene(poller):
        mover = Mover(3 * MIB)
        async with serving(mover, poller) as (reader, writer, _):
            writer.write(GET + GET)
            for number in range(3):
                if number == 2:
                    writer.write(GET)
                feeding = asyncio.ensure_future(mover.feed())
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(3 * MIB)
                (answer,) = read_answers(head + body, "GET")
                assert answer.body == mover.data
                await feeding
            assert await mover.ended(3) == [Movement(3 * MIB - 1000)] * 3
            assert mover.moved == 3 * MIB - 1000

    pumping(scene, run=run)


@on_both_loops
def test_what_was_written_before_comes_before(run):
    """The client takes nothing at first: the transport holds bytes that the relay must not overtake."""

    async def scene(poller):
        mover = Mover(12 * MIB, first=11 * MIB)
        async with serving(mover, poller) as (reader, writer, _):
            writer.write(GET)
            feeding = asyncio.ensure_future(mover.feed())
            await asyncio.sleep(0.1)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(12 * MIB) == mover.data
            await feeding
            assert await mover.ended() == [Movement(MIB)]

    pumping(scene, run=run)


@on_both_loops
def test_it_is_counted_while_it_goes_on(run):
    async def scene(poller):
        mover = Mover(MIB, first=0)
        async with serving(mover, poller) as (reader, writer, _):
            writer.write(GET)
            await mover.line.send(mover.data[: MIB // 2])
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(MIB // 2) == mover.data[: MIB // 2]
            async with asyncio.timeout(200 * LOOK_ON):
                while mover.moved != MIB // 2:
                    await asyncio.sleep(0.01)
            assert mover.outcomes == []
            await mover.line.send(mover.data[MIB // 2 :])
            await reader.readexactly(MIB // 2)

    pumping(scene, run=run)


@pytest.mark.parametrize("why", ["small", "another length", "no length", "no threads", "no pipe", "too many"])
def test_what_goes_the_plain_way(monkeypatch, why):
    if why == "no pipe":
        small_pipes(monkeypatch, 4096)
    if why == "too many":
        monkeypatch.setattr(relay_module, "MOST_WATCHED", 0)

    async def scene(poller):
        mover = Mover(LEAST_RELAYED + 1000 - (why == "small"))
        mover.claimed += why == "another length"
        mover.has_length = why != "no length"
        async with serving(mover, poller, relays=why != "no threads") as (reader, writer, _):
            writer.write(GET.replace(b"glance", b"glance\r\nConnection: close"))
            (answer,) = read_answers(await reader.read(), "GET")
            assert answer.body == mover.data
            assert (mover.outcomes, mover.moved) == ([None], 0)

    pumping(scene)


@on_both_loops
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_leaves_a_connection(run, how):
    async def scene(poller):
        mover = Mover(64 * MIB)
        async with serving(mover, poller) as (reader, writer, state):
            writer.write(GET)
            feeding = asyncio.ensure_future(mover.feed())
            await reader.readexactly(10_000)
            if how == "half-close":
                writer.write_eof()
            else:
                if how == "reset":
                    Line.reset(SimpleNamespace(client=writer.get_extra_info("socket").dup()))
                writer.transport.abort()
            # Whoever notices first: the relay, or the application, which the test's leaves to the relay.
            async with asyncio.timeout(10):
                while not mover.outcomes and state.tasks:
                    for task in set(state.tasks):
                        if how == "half-close" and not state.connections:
                            task.cancel()
                    await asyncio.sleep(0.001)
            await cancelled(feeding)
            assert mover.outcomes in ([ClientGone], [asyncio.CancelledError])

    pumping(scene, run=run)


@on_both_loops
@pytest.mark.parametrize("written", [0, 11 * MIB], ids=["while it relays", "before it relays"])
def test_a_client_that_takes_nothing(run, written):
    async def scene(poller):
        mover = Mover(64 * MIB, first=written)
        async with serving(mover, poller, answer=AnswerPace(idle=0.2)) as (_reader, writer, state):
            writer.write(GET)
            feeding = asyncio.ensure_future(mover.feed())
            async with asyncio.timeout(10):
                while state.connections:
                    await asyncio.sleep(0.001)
            await cancelled(feeding)
            # Before: the application is told where it sends, and never gets to the move.
            assert mover.outcomes == ([] if written else [ClientTooSlow])

    pumping(scene, run=run)


@on_both_loops
def test_a_client_that_falls_behind(run):
    """The move ends where the one who asked for it says so, and the rest goes the plain way."""

    async def scene(poller):
        mover = Mover(32 * MIB)
        mover.keeps_up = False
        async with serving(mover, poller) as (reader, writer, _):
            writer.write(GET)
            feeding = asyncio.ensure_future(mover.feed())
            (outcome,) = await mover.ended()
            assert outcome.taken < 32 * MIB - 1000
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(32 * MIB) == mover.data
            await cancelled(feeding)

    pumping(scene, run=run)


@pytest.mark.parametrize("takes_all", [False, True])
def test_a_client_that_falls_behind_before_it_relays(takes_all):
    """What the transport holds comes first, and is not waited for any longer than the relay itself would."""
    stream = SimpleNamespace(flush=lambda: asyncio.sleep(0.25 if takes_all else 1000))
    told = []

    def moved(size, seconds):
        told.append((size, round(seconds, 1)))
        return len(told) < 3

    assert run_leaping(relay_module._flush(stream, moved)) is takes_all
    assert told == [(0, 0.1), (0, 0.2), *([] if takes_all else [(0, 0.3)])]


@on_both_loops
def test_an_upstream_that_is_silent(run):
    async def scene(poller):
        mover = Mover(MIB, idle=0.2)
        async with serving(mover, poller) as (reader, writer, _):
            writer.write(GET)
            await mover.line.send(mover.data[1000:5000])
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.read() == mover.data[:5000]
            assert await mover.ended() == [ResponseTimeout]

    pumping(scene, run=run)


@on_both_loops
@pytest.mark.parametrize("written", [0, 11 * MIB], ids=["while it relays", "before it relays"])
def test_a_cut_at_the_drains_end(run, written):
    async def scene(poller):
        mover = Mover(64 * MIB, first=written)
        async with serving(mover, poller) as (reader, writer, state):
            writer.write(GET)
            feeding = asyncio.ensure_future(mover.feed())
            await reader.readexactly(1000)
            (task,) = state.tasks
            await asyncio.sleep(0.05)
            assert await cancelled(task, 2)
            await cancelled(feeding)
            got = await reader.read()
            assert len(got) < 64 * MIB - 1000

    pumping(scene, run=run)
