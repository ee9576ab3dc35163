"""The line between the supervisor and a worker: orders down, what the worker is like up.

A pair of sockets, a line of JSON a message. That the other end has closed is a message too, and the one that
cannot fail to come: the kernel closes it for a process that was killed.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass

from shim.server.steps import Order

# What one side may have said before the other has listened; more was never meant.
_MOST_UNREAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's sign of life: its loop turns, it serves, and has so much under way."""

    uploads: int = 0
    held: int = 0


class Mouthpiece:
    """The supervisor's end.

    Attributes:
        has_ended: Whether the worker has closed its end, and all that it said was heard.
    """

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self.line = line
        self.has_ended = False
        self._unread = b""

    def tell(self, order: Order) -> None:
        """Give an order; a worker that has gone, or does not listen at all, gets none."""
        with contextlib.suppress(OSError):
            self.line.send(order.value.encode() + b"\n")

    def heard(self) -> Iterator[Beat]:
        """What the worker has said meanwhile; nothing more after its end."""
        try:
            data = self.line.recv(_MOST_UNREAD)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.has_ended = not data
        self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            yield Beat(**json.loads(line))

    def close(self) -> None:
        """Give the line up."""
        self.line.close()


class Post:
    """The worker's end, on its event loop."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line

    async def orders(self) -> AsyncIterator[Order]:
        """Orders as they come, to the end of the supervisor; that ends the worker's service too."""
        loop = asyncio.get_running_loop()
        unread = b""
        while True:
            try:
                data = await loop.sock_recv(self._line, _MOST_UNREAD)
            except ConnectionError:
                return
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                yield Order(line.decode())

    def tell(self, beat: Beat) -> None:
        """Give a sign of life; one too many for a busy supervisor is not missed."""
        with contextlib.suppress(OSError):
            self._line.send(json.dumps(asdict(beat)).encode() + b"\n")

    def close(self) -> None:
        """Give the line up."""
        self._line.close()


def make_line() -> tuple[socket.socket, socket.socket]:
    """Both ends of a line, the supervisor's first."""
    return socket.socketpair()
