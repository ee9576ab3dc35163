"""What a client connection waits for, one thing at a time: a head, its next request, an answer, or its end.

Each wait has an end; but none ends a connection whose client still takes the last answer fast enough.
"""

import asyncio
import functools
from collections.abc import Callable

from shim.server.connection_options import ConnectionOptions
from shim.server.stream import ClientStream
from shim.timing import Alarm, Seconds

# How often at most a client is looked at that takes the rest of its answer.
LEAST_LOOK: Seconds = 1.0


class ConnectionWaits:
    """The waits of one connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: ConnectionOptions, on_late_head: Callable[[], None]
    ) -> None:
        """Take how long each may last, and what is to be done where no head came, or no whole one."""
        self._options = options
        self._on_late_head = on_late_head
        self._alarm = Alarm(loop)

    def for_head(self) -> None:
        """Wait for the rest of a head, or for the first one."""
        self._alarm.set(self._options.header_timeout, self._on_late_head)

    def for_next_request(self, stream: ClientStream) -> None:
        """Wait for the next request, once the last answer was taken."""
        self._set_once_taken(stream, self._options.keepalive_timeout, self._on_late_head)

    def for_answer(self, patience: Seconds, on_late: Callable[[], None]) -> None:
        """Wait for a server, without a task that has an eye on it."""
        self._alarm.set(patience, on_late)

    def for_end(self, stream: ClientStream) -> None:
        """Wait for the client to take its answer, and to close its side."""
        # What is left of the answer then would be lost, and one that ends with the connection look whole.
        self._set_once_taken(stream, self._options.linger_timeout, stream.abort)

    def stop(self) -> None:
        """Wait for nothing, until the next call."""
        self._alarm.stop()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._alarm.close()

    def _set_once_taken(self, stream: ClientStream, pause: Seconds, end: Callable[[], None]) -> None:
        self._alarm.set(pause, functools.partial(self._once_taken, stream, pause, end))

    def _once_taken(self, stream: ClientStream, waited: Seconds, end: Callable[[], None]) -> None:
        """End what was waited with for so long, but not as long as the last answer is on its way yet."""
        if not stream.cut_if_slow(waited):
            end()
            return
        # Both time-outs may be 0, which is no pace to look at.
        self._set_once_taken(stream, max(waited, LEAST_LOOK), end)
