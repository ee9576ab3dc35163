"""The fast way of an answer into the spool: the poller's threads read it from its server and write it down.

Like a body's way in: a megabyte at a time and away from the event loop (splice into a file costs more than
reading and writing, measured). It ends with the answer, or where the sink is full.
"""

import os
import select

from shim.asgi import BodySink
from shim.errors import UpstreamClosed
from shim.job import READY, Job, Ready
from shim.poller import Poller
from shim.timing import Seconds
from shim.upstream.border import broken


class Pouring(Job[int]):
    """Up to ``size`` bytes on their way from a server's socket to a sink; its result is how many came."""

    def __init__(self, poller: Poller, descriptor: int, size: int, sink: BodySink) -> None:
        """Take the socket, which is duplicated, what is to come, and where it goes.

        Raises:
            OSError: The process has no descriptor left.
        """
        super().__init__(poller, descriptor, select.EPOLLIN)
        self._size = size
        self._sink = sink
        self._last_byte: Seconds = 0.0
        self.taken = 0

    @property
    def silence(self) -> Seconds:
        """Seconds that the server was waited for since its last byte."""
        return self.waited - self._last_byte

    def work(self, buffer: memoryview) -> int | Ready | None:
        """Read once and write it, on a thread.

        Raises:
            UpstreamClosed: The answer broke off.
            DiskFull, DiskError: It could not be written.
        """
        sink = self._sink
        room = min(self._size - self.taken, sink.room - sink.written)
        most = min(room, len(buffer))
        try:
            size = os.readv(self._descriptor, [buffer[:most]])
        except BlockingIOError:
            return None
        except OSError as error:
            raise broken(error) from error
        if size == 0:
            raise UpstreamClosed("The upstream closed the connection in the middle of its answer.")
        sink.write([buffer[:size]])
        self._last_byte = self._waited
        self.taken += size
        if size == room:
            return self.taken
        return READY if size == most else None
