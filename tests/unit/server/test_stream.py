"""The transport of a client connection: calls that transports take only once, and each end in its way."""

import asyncio
import socket
import struct

import pytest

from shim.admission.limits import AnswerPace
from shim.errors import ClientTooSlow
from shim.server.stream import WRITE_BUFFER, ClientStream
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.fakes.transport import FakeTransport
from tests.support.series import series

# Something within a minute, at any rate.
PATIENT = AnswerPace(idle=60, min_rate=0)


class Quiet:
    """A protocol that only passes flow control on."""

    def __init__(self):
        self.stream = None
        self.lost = False

    def pause_writing(self):
        self.stream.hold_writing()

    def resume_writing(self):
        self.stream.release_writing()

    def connection_lost(self, _error):
        self.lost = True
        self.stream.release_writing()

    def data_received(self, _data):
        pass


def run_stream(scene, pace=PATIENT, **options):
    async def whole():
        transport = FakeTransport(**options)
        protocol = transport.protocol = Quiet()
        stream = protocol.stream = ClientStream(transport, pace)
        await scene(stream, transport)
        transport.leave()
        await let_others_run()

    run_leaping(whole())


def test_pausing_and_resuming_as_often_as_one_likes():
    async def scene(stream, transport):
        for _ in range(2):
            stream.resume()
            assert transport.is_reading()
            stream.pause()
            stream.pause()
            assert not transport.is_reading()
            stream.resume()
            stream.resume()

    run_stream(scene)


@pytest.mark.parametrize("paused", [False, True])
def test_a_closing_transport_is_left_alone(paused):
    async def scene(stream, _transport):
        if paused:
            stream.pause()
        stream.close()
        stream.pause()
        stream.resume()

    run_stream(scene)


def test_writing_waits_for_a_slow_client():
    async def scene(stream, transport):
        assert transport.high == WRITE_BUFFER
        stream.write(bytes(WRITE_BUFFER))
        await stream.drain()
        stream.write(b"x")
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(59)
        assert not draining.done()
        transport.take()
        await draining
        assert not transport.closing

    run_stream(scene, takes=0)


def test_a_client_that_takes_a_little_at_a_time_is_waited_for():
    async def scene(stream, transport):
        stream.write(bytes(WRITE_BUFFER + 1))
        draining = asyncio.ensure_future(stream.drain())
        for _ in range(20):
            await asyncio.sleep(59)
            transport.take(1)
        assert not draining.done()
        await asyncio.sleep(121)
        with pytest.raises(ClientTooSlow, match="nothing of its answer for 60 s"):
            await draining

    run_stream(scene, takes=0)


def test_a_client_that_takes_nothing_is_cut_off():
    async def scene(stream, transport):
        stream.write(bytes(WRITE_BUFFER + 1))
        started = loop_time()
        with pytest.raises(ClientTooSlow, match="nothing of its answer for 60 s"):
            await stream.drain()
        assert loop_time() - started == pytest.approx(60)

    run_stream(scene, takes=0)


def test_a_client_that_drips_is_cut_off():
    """Never silent, but below its rate over the last half minute; what it took before buys it no time."""

    async def scene(stream, transport):
        stream.write(bytes(3 * WRITE_BUFFER))
        draining = asyncio.ensure_future(stream.drain())
        await let_others_run()
        transport.take(WRITE_BUFFER)
        started = loop_time()
        while not draining.done():
            await asyncio.sleep(1)
            transport.take(900)
        with pytest.raises(ClientTooSlow, match="slower than 1000 bytes per second"):
            await draining
        assert loop_time() - started == pytest.approx(30, abs=3)

    run_stream(scene, AnswerPace(idle=60, min_rate=1000, grace=30), takes=0)


def test_an_answer_that_is_left_with_us():
    """After it was written to its end: as long as the client takes some of it, and no longer."""

    async def scene(stream, transport):
        stream.write(bytes(200))
        for _ in range(2):
            assert stream.cut_if_slow(75)
            transport.take(40)
        assert stream.cut_if_slow(75)
        assert not stream.cut_if_slow(75)
        assert transport.aborted

    run_stream(scene, takes=100)


def test_an_answer_that_was_taken_is_not_waited_for():
    async def scene(stream, transport):
        stream.write(bytes(100))
        assert not stream.cut_if_slow(75)
        assert not transport.closing

    run_stream(scene, takes=100)


def test_a_cancelled_drain():
    async def scene(stream, transport):
        stream.write(bytes(WRITE_BUFFER + 1))
        draining = asyncio.ensure_future(stream.drain())
        await let_others_run()
        draining.cancel()
        await let_others_run()
        assert draining.cancelled()
        assert not transport.closing

    run_stream(scene, takes=0)


@series(
    ("end", "aborted", "half_closed", "reset"),
    [
        ("close", False, False, False),
        ("abort", True, False, False),
        ("reset", True, False, True),
        ("half_close", False, True, False),
    ],
)
def test_ends(end, *, aborted, half_closed, reset):
    async def scene(stream, transport):
        stream.write(b"last words")
        getattr(stream, end)()
        assert transport.aborted is aborted
        assert transport.half_closed is half_closed
        assert transport.closing is not half_closed
        linger = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert transport.options == ([linger] if reset else [])
        assert transport.received == b"last words"

    run_stream(scene)


def test_who_is_at_the_ends():
    async def scene(stream, _transport):
        assert stream.can_half_close
        assert stream.ends == {
            "client": ("192.0.2.7", 40000),
            "server": ("192.0.2.1", 9292),
            "scheme": "http",
        }

    run_stream(scene)


def test_over_tls():
    async def scene(stream, transport):
        assert not stream.can_half_close
        transport._extra["sslcontext"] = object()
        assert ClientStream(transport, PATIENT).ends["scheme"] == "https"

    run_stream(scene, can_half_close=False)


def test_a_connection_that_is_lost_has_its_ends_still():
    async def scene(stream, transport):
        transport._extra.clear()
        assert stream.ends["client"] == ("192.0.2.7", 40000)

    run_stream(scene)
