"""A connection to a server over a plain socket, without asyncio's transports.

Nothing is buffered out of sight, a write's progress is known, and the descriptor can be lent to the poller's
threads, which send files from it and write answers from it to files.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from shim.asgi import BodySink
from shim.errors import UpstreamClosed
from shim.local_peer import read_local_peer
from shim.poller import Poller
from shim.spool.disk import Piece
from shim.timing import UNLIMITED, Seconds, cancel_and_wait, deadline
from shim.upstream.border import broken, send_timeout, transfer_errors
from shim.upstream.dialing import wait_ready
from shim.upstream.pouring import Pouring
from shim.upstream.sending import FileSender

# Reads of one connection that find bytes there already, before others get their turn.
READS_IN_A_ROW = 4


class SocketStream:
    """A connected non-blocking socket."""

    def __init__(self, connection: socket.socket, poller: Poller | None = None) -> None:
        self._socket = connection
        self._poller = poller
        self._loop = asyncio.get_running_loop()
        self._read_in_a_row = 0
        self._look: select.poll | None = None

    async def read(self, most: int) -> bytes:
        """Receive some bytes; others get their turn now and then, also where bytes are there already.

        A server that is always ahead would keep the whole loop, and hide that its client has gone.
        """
        if self._read_in_a_row >= READS_IN_A_ROW:
            self._read_in_a_row = 0
            await asyncio.sleep(0)
        while True:
            try:
                data = self._socket.recv(most)
            except BlockingIOError:
                with transfer_errors():
                    await self._ready(self._loop.add_reader, self._loop.remove_reader)
                self._read_in_a_row = 0
            except OSError as error:
                raise broken(error) from error
            else:
                self._read_in_a_row += 1
                return data

    def read_now(self, most: int) -> bytes | None:
        """Receive what is there."""
        try:
            return self._socket.recv(most)
        except BlockingIOError:
            return None
        except OSError as error:
            raise broken(error) from error

    def offer(self, pieces: Sequence[Piece]) -> int:
        """Send what the kernel takes, all pieces by one call and without joining them."""
        try:
            return self._socket.sendmsg(pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise broken(error) from error

    async def write(self, data: bytes, timeout: Seconds) -> None:
        """Send all bytes, each step within ``timeout``."""
        view = memoryview(data)
        with transfer_errors():
            while view:
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    async with deadline(timeout, lambda: send_timeout(timeout)):
                        await self._ready(self._loop.add_writer, self._loop.remove_writer)

    @property
    def sends_files(self) -> bool:
        """With a poller."""
        return self._poller is not None

    async def send_file(self, file: int, start: int, end: int, timeout: Seconds) -> bool:
        """Send a part of a file by the poller's threads; they need a descriptor of their own for that."""
        assert self._poller is not None
        try:
            made = FileSender(self._poller, self._socket.fileno(), file, start, end)
        except OSError:
            return False
        with contextlib.closing(made) as sender:
            sending = asyncio.ensure_future(sender.perform())
            try:
                await _while_progressing(sender, sending, timeout)
            finally:
                # Also where it failed or was cancelled: the descriptor is closed next.
                await cancel_and_wait(sending)
            sending.result()
        return True

    async def pour(self, sink: BodySink, size: int, idle: Seconds, silent: Exception) -> int | None:
        """Receive by the poller's threads."""
        assert self._poller is not None
        try:
            pouring = Pouring(self._poller, self._socket.fileno(), size, sink)
        except OSError:
            # The process has no descriptor left; the plain way needs none.
            return None
        with contextlib.closing(pouring):
            return await _while_heard(pouring, idle, silent)

    def peer_process(self) -> int:
        """Who listened on the unix socket."""
        peer = read_local_peer(self._socket)
        return 0 if peer is None else peer.pid

    def fileno(self) -> int | None:
        """The socket's."""
        return self._socket.fileno()

    def is_readable(self) -> bool:
        """Look without taking."""
        if self._look is None:
            self._look = select.poll()
            self._look.register(self._socket, select.POLLIN)
        return bool(self._look.poll(0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise UpstreamClosed("The connection was closed.")
        await wait_ready(descriptor, add, remove)


async def _while_heard(pouring: Pouring, idle: Seconds, silent: Exception) -> int:
    """Wait for the end of receiving; ``silent`` where the server sent nothing for ``idle`` seconds."""
    receiving = asyncio.ensure_future(pouring.perform())
    try:
        while not receiving.done():
            left = idle - pouring.silence
            await asyncio.wait({receiving}, timeout=None if left == UNLIMITED else max(0.0, left))
            if not receiving.done() and pouring.silence >= idle:
                raise silent
    finally:
        # Its thread writes to the sink until it has really stopped.
        await cancel_and_wait(receiving)
    return receiving.result()


async def _while_progressing(sender: FileSender, sending: asyncio.Future[int], timeout: Seconds) -> None:
    """Wait for the end of sending; SendTimeout where the server took no byte for ``timeout``."""
    position, left = -1, timeout
    while not sending.done():
        if sender.position != position:
            position, waited, left = sender.position, sender.waited, timeout
        # A thread that is stuck at a disk keeps the server waiting, and not the other way round.
        elif (left := timeout - (sender.waited - waited)) <= 0:
            raise send_timeout(timeout)
        await asyncio.wait({sending}, timeout=None if timeout == UNLIMITED else left)
