"""A file on its way to a socket by sendfile: every byte once, and whose fault it is where that fails."""

import asyncio
import contextlib
import errno
import os
import tempfile
import threading

import pytest

from shim.errors import DiskError, UpstreamClosed
from shim.job import Holder
from shim.server.pump import Intake
from shim.upstream.plain_stream import SocketStream
from shim.upstream.sending import MOST_AT_ONCE, FileSender
from shim.wire.chunked import LengthDecoder
from tests.fakes.loops import REAL_LOOPS, let_others_run
from tests.fakes.payload import numbered
from tests.fakes.pumping import FakeSink, Line, cancelled, pumping, waits
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
on_both_kinds = pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
MIB = 1024 * 1024
NUMBERED = numbered(9 * MIB)


@contextlib.contextmanager
def stored(data):
    """A file that holds this."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file


@contextlib.contextmanager
def sending(poller, start, end, *, data=NUMBERED, tcp=False):
    """A sender of a part of a file; gives it with the line whose far end is the server's."""
    with stored(data) as file, sending_of(file, poller, start, end, tcp=tcp) as made:
        yield made


@contextlib.contextmanager
def sending_of(file, poller, start, end, *, tcp=False):
    """The same, of a file that is there."""
    with (
        Line(tcp=tcp) as line,
        contextlib.closing(FileSender(poller, line.ours.fileno(), file.fileno(), start, end)) as sender,
    ):
        yield sender, line


async def got(line, size):
    """So many bytes of what the server gets."""
    data = bytearray()
    while len(data) < size:
        piece = await asyncio.get_running_loop().sock_recv(line.client, 1 << 18)
        assert piece, f"it ended after {len(data)}"
        data += piece
    return bytes(data)


@on_both_loops
@on_both_kinds
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 3), (5, 6), (4095, 8193), (0, MOST_AT_ONCE + 1), (1000, 9 * MIB)],
)
def test_a_part_of_a_file(run, tcp, start, end):
    async def scene(poller):
        with sending(poller, start, end, tcp=tcp) as (sender, line):
            task = asyncio.ensure_future(sender.perform())
            assert await got(line, end - start) == NUMBERED[start:end]
            assert await task == end == sender.position
            line.ours.send(b"!")
            assert line.client.recv(100) == b"!", "nothing came after the end"

    pumping(scene, run=run)


@pytest.mark.parametrize("most", [1, 999])
def test_a_socket_that_takes_little(monkeypatch, most):
    """Nothing at every third call, and else only a little."""
    sendfile, calls = os.sendfile, iter(range(1 << 40))
    size = 200 * most

    def reluctant(target, source, offset, count):
        if next(calls) % 3 == 0:
            raise BlockingIOError
        return sendfile(target, source, offset, min(count, most))

    monkeypatch.setattr(os, "sendfile", reluctant)

    async def scene(poller):
        with sending(poller, 7, 7 + size) as (sender, line):
            task = asyncio.ensure_future(sender.perform())
            assert await got(line, size) == NUMBERED[7 : 7 + size]
            assert await task == 7 + size

    pumping(scene)


def test_the_position_is_what_was_taken():
    async def scene(poller):
        with sending(poller, 0, len(NUMBERED)) as (sender, line):
            task = asyncio.ensure_future(sender.perform())
            while not sender.position:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert 0 < sender.position < len(NUMBERED), "nobody reads"
            taken = sender.position
            assert await got(line, taken) == NUMBERED[:taken]
            while sender.position == taken:
                await asyncio.sleep(0)
            assert await cancelled(task)

    pumping(scene)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EPIPE, UpstreamClosed),
        (errno.ECONNRESET, UpstreamClosed),
        (errno.ECONNABORTED, UpstreamClosed),
        (errno.ENOTCONN, UpstreamClosed),
        (errno.ETIMEDOUT, UpstreamClosed),
        (errno.EHOSTUNREACH, UpstreamClosed),
        (errno.ENETDOWN, UpstreamClosed),
        (errno.EIO, DiskError),
        (errno.ESTALE, DiskError),
        (errno.ENOMEM, DiskError),
        (errno.EOVERFLOW, DiskError),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_whose_fault_it_is(monkeypatch, number, error):
    def fail(*_values):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sendfile", fail)

    async def scene(poller):
        with sending(poller, 0, 10) as (sender, _):
            with pytest.raises(error, match=os.strerror(number)):
                await sender.perform()
            assert sender.position == 0

    pumping(scene)


@pytest.mark.parametrize("there", [0, 9])
def test_a_file_that_is_too_short(there):
    async def scene(poller):
        with sending(poller, 0, 10, data=bytes(there)) as (sender, _):
            with pytest.raises(DiskError, match="ends too early"):
                await sender.perform()
            assert sender.position == there

    pumping(scene)


@on_both_kinds
@series("how", ["close", "reset"])
def test_a_server_that_leaves(tcp, how):
    async def scene(poller):
        with sending(poller, 0, len(NUMBERED), tcp=tcp) as (sender, line):
            task = asyncio.ensure_future(sender.perform())
            await got(line, 1000)
            line.reset() if how == "reset" and tcp else line.client.close()
            with pytest.raises(UpstreamClosed, match="broke"):
                await task
            assert sender.position < len(NUMBERED)

    pumping(scene)


@on_both_loops
@pytest.mark.parametrize("times", [1, 2])
def test_cancelled_at_any_moment(run, times):
    """What the server has got is the file's beginning, and as long as the position says."""

    async def scene(poller):
        with stored(NUMBERED) as file:
            for turn in range(60):
                with sending_of(file, poller, 0, len(NUMBERED)) as (sender, line):
                    task = asyncio.ensure_future(sender.perform())
                    if turn % 3 == 0:
                        await waits(sender)
                    await let_others_run(turn % 20)
                    await cancelled(task, times)
                    assert (sender._holder, poller.active) == (Holder.LOOP, 0)
                    assert await got(line, sender.position) == NUMBERED[: sender.position]

    pumping(scene, run=run)


def test_a_thread_that_is_stuck_is_not_the_servers_fault():
    """Waited for longer than a server has to take a byte, it is sent all the same."""

    async def scene(poller):
        gate = threading.Event()
        with Line() as line, stored(b"foobar") as file, Line() as other:
            intake = Intake(poller, other.ours.fileno(), LengthDecoder(1))
            stuck = FakeSink(gate=gate)
            filling = asyncio.ensure_future(intake.run(stuck))
            await waits(intake)
            await other.send(b"x")
            await other.is_read()
            stream = SocketStream(line.ours, poller)
            sending = asyncio.ensure_future(stream.send_file(file.fileno(), 0, 6, 0.05))
            await asyncio.sleep(0.2)
            assert not sending.done()
            gate.set()
            assert await sending
            await filling
            intake.close()
            assert await got(line, 6) == b"foobar"

    pumping(scene, threads=1, most=1)


def test_no_descriptor_to_lend(monkeypatch):
    """Nothing was sent then, and the stream says so: the bytes go by being read."""

    async def scene(poller):
        with Line() as line:
            stream = SocketStream(line.ours, poller)

            def refuse(_descriptor):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            with monkeypatch.context() as patch:
                patch.setattr("shim.job.os.dup", refuse)
                assert not await stream.send_file(0, 0, 10, 5.0)
            with pytest.raises(BlockingIOError):
                line.client.recv(1)

    pumping(scene)
