"""The pump over TLS: real sockets and threads, a client in memory, records cut anywhere, and every end."""

import asyncio
import contextlib
import functools
import hashlib
import itertools
import ssl
from types import SimpleNamespace

import pytest
from uvicorn.server import ServerState

from shim import lane, poller
from shim.asgi import inbound_of
from shim.errors import BadFraming
from shim.server.certificates import ServerCertificate, TlsFiles
from shim.server.connection_options import ConnectionOptions
from shim.server.entrance import EntranceOptions, entered_by
from shim.server.protocol import ClientConnection
from shim.server.pump import SLACK, Ended, Outcome
from shim.server.records import MOST_IN_MEMORY, RECORD
from shim.server.tls import Tls
from shim.wire.chunked import LAST_CHUNK, ChunkedDecoder, LengthDecoder, encode_chunk
from tests.fakes.application import Gate
from tests.fakes.loops import REAL_LOOPS, let_others_run
from tests.fakes.payload import numbered
from tests.fakes.pumping import PLENTY, FakeSink, Pumping, cancelled, pumping, waits
from tests.fakes.session import answer_with, read_answers
from tests.fakes.tls import TlsLine, make_identity

NEXT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1024 * 1024
DATA = numbered(300_000)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
both_versions = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return make_identity(tmp_path_factory.mktemp("identity"))


async def pumped(poller, line, decoder, pieces):
    """Send pieces, each read before the next; gives payload, outcome, and what the loop then reads."""
    with contextlib.closing(line.intake(poller, decoder)) as intake:
        sink = FakeSink()
        task = asyncio.ensure_future(intake.run(sink))
        for piece in pieces:
            await line.send(piece)
            while line.unread and not task.done():
                await asyncio.sleep(0)
        outcome = await task
    line.take_back()
    await let_others_run()
    return bytes(sink.data), outcome, line.pair.upper.received


# -- records --------------------------------------------------------------------------------------


@both_versions
def test_records_cut_anywhere(identity, version):
    """Payload, the body's end and a request behind it in records of their own; the cut is at every byte."""
    plain = [b"3\r\nfo", b"o\r\n", LAST_CHUNK + NEXT[:5], NEXT[5:]]

    async def scene(poller):
        with TlsLine(identity, version=version) as line:
            for cut in itertools.count(1):
                sealed = line.pair.sealed(*plain)
                halves = [sealed[:cut], sealed[cut:]]
                payload, outcome, later = await pumped(poller, line, ChunkedDecoder(), halves)
                assert (payload, outcome.ended) == (b"foo", Ended.WHOLE)
                # In order, wherever the bytes were when the socket was given back.
                assert outcome.rest + later == NEXT
                if cut == len(sealed):
                    return
                line.pair.upper.received = b""
                line.transport.pause_reading()

    pumping(scene)


@both_versions
def test_a_byte_at_a_time(identity, version):
    async def scene(poller):
        with TlsLine(identity, version=version) as line:
            sealed = line.pair.sealed(b"6\r\nfoo", b"bar\r\n" + LAST_CHUNK, NEXT)
            pieces = [sealed[start : start + 1] for start in range(len(sealed))]
            payload, outcome, later = await pumped(poller, line, ChunkedDecoder(), pieces)
            assert (payload, outcome.rest + later) == (b"foobar", NEXT)

    pumping(scene)


@pytest.mark.parametrize("rooms", [(), (0, 1, 5000, 0, 2 * MIB)], ids=["one sink", "several"])
@pytest.mark.parametrize("buffer", [poller.BUFFER, lane.BUFFER], ids=["at once", "late"])
def test_a_large_body(identity, rooms, buffer, monkeypatch):
    """As much as the buffer holds is read at a time; what a sink has no room for is little, and not lost."""
    monkeypatch.setattr(poller, "BUFFER", buffer)
    data = DATA * 28
    body = b"".join(encode_chunk(data[start : start + MIB]) for start in range(0, len(data), MIB))

    async def scene(poller):
        line = TlsLine(identity)
        sealed = line.pair.sealed(*_records(body + LAST_CHUNK + NEXT))
        with Pumping(poller, ChunkedDecoder(), line=line) as pump:
            sending = asyncio.ensure_future(line.send(sealed))
            digest, outcome = hashlib.sha256(), None
            sinks = [*map(FakeSink, rooms), FakeSink()]
            for sink in sinks:
                outcome = await pump.intake.run(sink)
                digest.update(sink.data + outcome.overflow)
                assert len(outcome.overflow) <= SLACK + RECORD
            await sending
            line.take_back()
            await let_others_run()
            assert outcome.ended is Ended.WHOLE
            assert outcome.rest + line.pair.upper.received == NEXT
            assert digest.digest() == hashlib.sha256(data).digest()
            assert MOST_IN_MEMORY // 4 < max(sinks[-1].sizes) <= buffer // 2 + RECORD

    pumping(scene)


def _records(data):
    """A write of 16 KiB is a record; one that is not whole at the end of a piece fed comes with the next."""
    return [data[start : start + RECORD] for start in range(0, len(data), RECORD)]


def test_a_malformed_body(identity):
    async def scene(poller):
        with TlsLine(identity) as line, pytest.raises(BadFraming):
            await pumped(poller, line, ChunkedDecoder(), [line.pair.sealed(b"3\r\nfooxx")])

    pumping(scene)


# -- the client leaves, or is not who it was ----------------------------------------------------------


@both_versions
@pytest.mark.parametrize("before", [b"", b"foo"], ids=["alone", "behind bytes"])
def test_a_goodbye_in_the_body(identity, version, before):
    """Without a FIN: it is seen in the same turn, for nothing would wake a thread again."""

    async def scene(poller):
        with TlsLine(identity, version=version) as line:
            sealed = (line.pair.sealed(before) if before else b"") + line.pair.goodbye()
            payload, outcome, _ = await pumped(poller, line, LengthDecoder(6), [sealed])
            assert (payload, outcome) == (before, Outcome(Ended.GONE))

    pumping(scene)


def test_a_goodbye_that_came_when_the_sink_was_full(identity):
    async def scene(poller):
        line = TlsLine(identity)
        with Pumping(poller, LengthDecoder(6), line=line) as pump:
            await line.send(line.pair.sealed(b"foo") + line.pair.goodbye())
            assert await pump.intake.run(FakeSink(3)) == Outcome(Ended.FULL)
            assert await pump.intake.run(FakeSink()) == Outcome(Ended.GONE)

    pumping(scene)


def test_a_goodbye_behind_the_body(identity):
    """The body is whole; the loop hears of the goodbye."""

    async def scene(poller):
        with TlsLine(identity) as line:
            sealed = line.pair.sealed(b"foobar") + line.pair.goodbye()
            payload, outcome, _ = await pumped(poller, line, LengthDecoder(6), [sealed])
            assert (payload, outcome) == (b"foobar", Outcome(Ended.WHOLE))
            assert line.pair.upper.calls[1:] == ["eof", "lost"]

    pumping(scene)


@pytest.mark.parametrize("before", [b"", b"foo"], ids=["alone", "behind bytes"])
@pytest.mark.parametrize("how", ["fin", "reset", "altered", "no TLS"])
def test_a_line_that_breaks(identity, how, before):
    async def scene(poller):
        with TlsLine(identity) as line:
            sealed = line.pair.sealed(before) if before else b""
            bad = bytearray(line.pair.sealed(b"bar"))
            bad[-1] ^= 1
            pieces = {"altered": [sealed, bad], "no TLS": [sealed, b"GET / HTTP/1.1\r\n\r\n"]}.get(
                how, [sealed]
            )
            with Pumping(poller, LengthDecoder(6), line=line) as pump:
                sink = FakeSink()
                task = pump.start(sink)
                for piece in pieces:
                    await line.send(piece)
                    await line.is_read()
                if how == "fin":
                    line.finish()
                elif how == "reset":
                    line.reset()
                assert await task == Outcome(Ended.GONE)
                assert sink.data == before

    pumping(scene)


def test_a_connection_that_the_loop_has_given_up(identity):
    async def scene(poller):
        line = TlsLine(identity)
        with Pumping(poller, LengthDecoder(6), line=line) as pump:
            task = pump.start(FakeSink())
            await waits(pump.intake)
            line.transport.abort()
            assert line.transport.state is Tls.ENDED
            await line.send(line.pair.sealed(b"foo"))
            assert await task == Outcome(Ended.GONE)
            assert await pump.intake.run(FakeSink()) == Outcome(Ended.GONE)

    pumping(scene)


# -- both sides at work -----------------------------------------------------------------------------


def test_the_loop_writes_while_a_thread_reads(identity):
    """Early hints, say. Each side's records come out whole and in order."""

    async def scene(poller):
        line = TlsLine(identity)
        sealed = line.pair.sealed(*_records(DATA * 10))
        with Pumping(poller, LengthDecoder(10 * len(DATA)), line=line) as pump:
            sink = FakeSink()
            task = asyncio.ensure_future(filled(pump.intake, sink))
            sending = asyncio.ensure_future(line.send(sealed))
            hints = 0
            while not task.done():
                line.transport.write(b"%08d" % hints)
                hints += 1
                # A loop that never waits would keep the interpreter from the thread, record by record.
                await asyncio.sleep(0.001)
            await sending
            assert (await task).ended is Ended.WHOLE
            assert sink.data == DATA * 10
            line.pair.hear()
            for hint in range(hints):
                assert line.pair.client.read(8) == b"%08d" % hint
            assert hints > 1

    pumping(scene)


async def filled(intake, sink):
    """Go on where the pump saw the loop between encrypting and sending, and took that for its own affair."""
    while (outcome := await intake.run(sink)).ended is Ended.OWING:
        pass
    return outcome


def test_what_tls_has_to_say_is_sent_before_more_is_read(identity):
    """Else it would become more as long as the body lasts: TLS 1.2 declines each new negotiation."""

    async def scene(poller):
        line = TlsLine(identity)
        with Pumping(poller, LengthDecoder(6), line=line) as pump:
            sink = FakeSink()
            task = pump.start(sink)
            await waits(pump.intake)
            line.transport.records.write(b"in place of a message")
            await line.send(line.pair.sealed(b"foo"))
            assert await task == Outcome(Ended.OWING)
            line.pair.hear()
            with pytest.raises(ssl.SSLWantReadError):
                line.pair.client.read(100)
            await line.send(line.pair.sealed(b"bar"))
            assert (await pump.intake.run(sink)).ended is Ended.WHOLE
            line.pair.hear()
            assert line.pair.client.read(100) == b"in place of a message"
            assert sink.data == b"foobar"

    pumping(scene)


def test_cancelled_between_two_records(identity):
    """Nothing is lost: the loop goes on with the next, to drop it."""

    async def scene(poller):
        line, gate = TlsLine(identity), Gate()
        with Pumping(poller, LengthDecoder(PLENTY), line=line) as pump:
            task = pump.start(FakeSink(gate=gate))
            sealed = line.pair.sealed(b"foo", b"bar")
            await line.send(sealed[:-1])
            await gate.reached()
            task.cancel()
            gate.open()
            assert await cancelled(task)
            await line.send(sealed[-1:])
            line.take_back()
            await let_others_run()
            assert line.pair.upper.received == b"bar"

    pumping(scene)


# -- the whole connection -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(identity, application, poller):
    """Serve TLS on loopback, with the pump; gives the port and the server's state."""
    state, config = ServerState(), SimpleNamespace(loaded_app=application)
    certificate = ServerCertificate(TlsFiles(identity / "shim.pem", identity / "shim.key"))
    make = functools.partial(ClientConnection, options=ConnectionOptions(), poller=poller)
    enter = entered_by(EntranceOptions(certificate), make)
    server = await asyncio.get_running_loop().create_server(lambda: enter(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], state
        async with asyncio.timeout(10):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)
    finally:
        server.close()


class Digester:
    """Answers a PUT with its body's SHA-256, which a pump takes where it can; others with their method."""

    def __init__(self, *rooms):
        self.rooms = iter(rooms)
        self.filling = asyncio.Event()
        self.pumped = 0
        self.answered = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope["method"] != "PUT":
            await answer_with(send, scope["method"].encode())
            return
        digest, ended = hashlib.sha256(), False
        while not ended:
            message = await receive()
            digest.update(message["body"])
            ended = not message["more_body"]
            offer = None if ended else inbound_of(scope).take_over()
            if offer is not None:
                await self._pump(offer, digest)
                ended = True
        await answer_with(send, digest.hexdigest().encode())
        self.answered.set()

    async def _pump(self, offer, digest):
        ended = False
        with offer as pump:
            while not ended:
                self.filling.set()
                sink = FakeSink(next(self.rooms, PLENTY))
                ended, overflow = await pump.fill(sink)
                self.pumped += sink.written
                digest.update(sink.data + overflow)


def head(length):
    return b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize("run", REAL_LOOPS)
def test_bodies_and_the_requests_behind_them(identity, run):
    """Twice on one connection, pipelined, faster than the loop reads: what it has read goes on in order."""
    data = DATA * 10

    async def scene(poller):
        application = Digester(0, 1, 100_000)
        async with serving(identity, application, poller) as (port, _):
            context = ssl.create_default_context(cafile=identity / "authority.pem")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="shim"
            )
            last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            writer.write(2 * (head(len(data)) + data) + last)
            answers = read_answers(await reader.read(), "PUT", "PUT", "GET")
            digest = hashlib.sha256(data).hexdigest().encode()
            assert [answer.body for answer in answers] == [digest, digest, b"GET"]
            assert application.pumped > len(data)
            writer.close()

    pumping(scene, run=run)


def test_a_client_that_asks_for_new_keys(identity):
    """TLS 1.3's KeyUpdate in a body: what follows has new keys, and so has the answer."""

    async def scene(poller):
        application = Digester()
        async with serving(identity, application, poller) as (port, _):
            command = ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "shim", "-msg")
            pipe = asyncio.subprocess.PIPE
            client = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
            client.stdin.write(head(6) + b"foo")
            await application.filling.wait()
            # The command's own letter for it, where that is the first of what it reads at once.
            client.stdin.write(b"K\n")
            await client.stderr.readuntil(b"KEYUPDATE")
            client.stdin.write(b"bar")
            await application.answered.wait()
            client.stdin.close()
            told, _ = await client.communicate()
            assert b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate" in told
            assert hashlib.sha256(b"foobar").hexdigest().encode() in told
            assert application.pumped == 3

    pumping(scene)
