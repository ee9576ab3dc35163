"""An answer on its way from a server's socket to a file: every byte and none beyond, and a cut is seen."""

import asyncio
import os
import socket

import pytest

from shim.errors import DiskFull, ResponseTimeout, UpstreamClosed
from shim.upstream.plain_stream import SocketStream
from tests.fakes.loops import REAL_LOOPS
from tests.fakes.payload import numbered
from tests.fakes.pumping import Line, cancelled, pumping
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
MIB = 1024 * 1024
DATA = numbered(4 * MIB)


class Sink:
    """Where it goes; may fail."""

    def __init__(self, room, error=None):
        self.room, self.written, self.error = room, 0, error
        self.data = b""

    def write(self, pieces):
        if self.error is not None:
            raise self.error
        self.data += b"".join(pieces)
        self.written = len(self.data)


async def pour(poller, line, sink, size, idle=60.0):
    return await SocketStream(line.ours, poller).pour(sink, size, idle, ResponseTimeout("silent"))


@on_both_loops
@series("tcp", [False, True])
@series(
    ("room", "size", "come"),
    [(10 * MIB, 3 * MIB, 3 * MIB), (10 * MIB, 1, 1), (1_000_001, 3 * MIB, 1_000_001), (MIB, MIB, MIB)],
)
def test_every_byte_and_none_beyond(run, tcp, room, size, come):
    async def scene(poller):
        with Line(tcp=tcp) as line:
            sink = Sink(room)
            sending = asyncio.ensure_future(line.send(DATA))
            assert await pour(poller, line, sink, size) == come
            assert sink.data == DATA[:come]
            rest = b""
            while len(rest) < len(DATA) - come:
                rest += await asyncio.get_running_loop().sock_recv(line.ours, MIB)
            assert rest == DATA[come:]
            await sending

    pumping(scene, run=run)


@on_both_loops
@series("how", ["close", "reset"])
def test_a_cut(run, how):
    async def scene(poller):
        with Line(tcp=True) as line:
            sink = Sink(MIB)
            pouring = asyncio.ensure_future(pour(poller, line, sink, MIB))
            await line.send(DATA[:1000])
            while sink.written < 1000:
                await asyncio.sleep(0.001)
            if how == "reset":
                line.reset()
            else:
                line.client.shutdown(socket.SHUT_WR)
            with pytest.raises(UpstreamClosed):
                await pouring

    pumping(scene, run=run)


@on_both_loops
def test_silence(run):
    async def scene(poller):
        with Line() as line:
            with pytest.raises(ResponseTimeout):
                await pour(poller, line, Sink(MIB), MIB, idle=0.05)
            assert poller.active == 0

    pumping(scene, run=run)


@on_both_loops
def test_a_disk_that_is_full(run):
    async def scene(poller):
        with Line() as line:
            await line.send(DATA[:1000])
            with pytest.raises(DiskFull):
                await pour(poller, line, Sink(MIB, DiskFull("full")), MIB)

    pumping(scene, run=run)


@on_both_loops
def test_cancelled(run):
    async def scene(poller):
        with Line() as line:
            task = asyncio.ensure_future(pour(poller, line, Sink(MIB), MIB))
            await asyncio.sleep(0.01)
            await cancelled(task)
            assert poller.active == 0

    pumping(scene, run=run)


def test_without_a_descriptor(monkeypatch):
    def refuse(*_arguments):
        raise OSError(24, "none left")

    async def scene(poller):
        with Line() as line:
            monkeypatch.setattr(os, "dup", refuse)
            assert await pour(poller, line, Sink(MIB), MIB) is None
            monkeypatch.undo()

    pumping(scene)
