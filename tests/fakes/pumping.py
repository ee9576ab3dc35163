"""A pump's two ends for tests: a client's socket that is sent to step by step, and a sink that may stall.

``pumping`` runs a scene with a real poller and real threads; at its end no socket is watched, and no
thread and no descriptor is left.
"""

import asyncio
import fcntl
import socket
import struct
import termios
import threading

from shim.job import Holder
from shim.poller import Poller
from shim.server.pump import Intake
from tests.fakes.descriptors import none_left
from tests.fakes.loops import run as run_asyncio

PLENTY = 1 << 50


class FakeClock:
    """A clock that stands still until it is told to go."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class FakeSink:
    """Keeps what it is given; stalls at its gate, or fails, where a test says so."""

    def __init__(self, room=PLENTY, *, gate=None, error=None, is_awaited=True):
        self.room = room
        # As if a reader waited: then no client is left alone for a while, however slow it is.
        self.is_awaited = is_awaited
        self.data = bytearray()
        self.sizes = []
        self._gate = gate
        self._error = error
        self._writers = 0
        self.is_finished = False

    @property
    def written(self):
        """Bytes that it has taken."""
        return len(self.data)

    def write(self, pieces):
        """Take pieces that must fit, from one thread at a time."""
        assert not self.is_finished
        assert threading.current_thread().name.startswith("pump-")
        self._writers += 1
        assert self._writers == 1
        if self._gate is not None:
            self._gate.wait()
        if self._error is not None:
            raise self._error
        data = b"".join(pieces)
        assert self.written + len(data) <= self.room
        self.data += data
        self.sizes.append(len(data))
        self._writers -= 1

    def finish(self):
        """Be told, once, that the body has ended."""
        assert not self.is_finished
        self.is_finished = True


class Line:
    """A client's connection; ``ours`` is what a transport would hold."""

    def __init__(self, *, tcp=False):
        self.client, self.ours = _tcp_pair() if tcp else socket.socketpair()
        self.client.setblocking(False)
        self.ours.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.ours.close()

    def intake(self, poller, decoder):
        """What reads a body from it."""
        return Intake(poller, self.ours.fileno(), decoder)

    async def send(self, data):
        """All of it, however long the pump takes."""
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    def finish(self):
        """The client closes its sending side."""
        self.client.shutdown(socket.SHUT_WR)

    def reset(self):
        """The client's host says that there is no such connection."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    @property
    def unread(self):
        """Bytes that have arrived, and that nobody has read."""
        return struct.unpack("i", fcntl.ioctl(self.ours, termios.FIONREAD, bytes(4)))[0]

    async def is_read(self):
        """Wait until everything that was sent is read; the kernel tells nobody, so it is asked."""
        while self.unread:
            await asyncio.sleep(0)


def _tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return client, ours


async def waits(job):
    """Until nobody but epoll has the socket."""
    await _held_by(job, Holder.EPOLL)


async def in_lane(job):
    """Until nobody has it, and no socket is waited for."""
    await _held_by(job, Holder.LANE)


async def _held_by(job, holder):
    while True:
        # With the lock: what comes with it, as the time, is set a moment after the holder.
        with job._lock:
            if job._holder is holder:
                return
        await asyncio.sleep(0)


async def cancelled(task, times=1):
    """Cancel a task so many times at once; whether it ended by that."""
    for _ in range(times):
        task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


def pump_threads():
    """The poller's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("pump-")]


def pumping(scene, *, run=run_asyncio, **options):
    """Run a scene with a poller; afterwards nothing of it may be left."""

    async def whole():
        # Inside the loop, which has descriptors of its own; libuv gets one more with its first listener.
        listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        listener.close()
        await listener.wait_closed()
        with none_left():
            poller = Poller(**options)
            try:
                result = await scene(poller)
                assert poller.active == 0
            finally:
                poller.close()
        return result

    result = run(whole())
    assert pump_threads() == []
    return result


class Pumping:
    """One intake on a line of its own."""

    def __init__(self, poller, decoder, *, tcp=False, line=None):
        self.line = line or Line(tcp=tcp)
        self.intake = self.line.intake(poller, decoder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.intake.close()
        self.line.__exit__()

    def start(self, sink):
        """The intake at work, as a task."""
        return asyncio.ensure_future(self.intake.run(sink))
