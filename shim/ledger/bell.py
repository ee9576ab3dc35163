"""How a process wakes another one that waits in a line of the shared table: a datagram to its bell.

Bells hang in the state directory, one for each process, by its slot. A process that was rung for nothing only
looks; one that was not rung, because the one to do it was killed, looks unasked after a while.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from shim.timing import Seconds, cancel_and_wait

# How long a slot of a killed process stays unused at most, where its supervisor was killed too.
LOOK_ANYWAY: Seconds = 1.0
_MOST = 64


class Bell:
    """One process's bell, and its way to those of the others."""

    def __init__(self, directory: Path, slot: int) -> None:
        """Take where bells hang, and whose this one is; it is heard while ``present``."""
        self._directory = directory
        self._slot = slot
        self._lookers: list[Callable[[], None]] = []

    def on_ring(self, look: Callable[[], None]) -> None:
        """Call this when the bell rings, and now and then besides."""
        self._lookers.append(look)

    def ring(self, slot: int) -> None:
        """Wake another process; one that is gone, or has not heard the last ring yet, needs no other."""
        _ring(_place(self._directory, slot))

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Hear the bell while the block runs."""
        if not self._lookers:
            yield
            return
        place = _place(self._directory, self._slot)
        # Left by a predecessor that was killed: the slot is ours alone.
        place.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
            bell.bind(str(place))
            loop.add_reader(bell.fileno(), self._hear, bell)
            looking = asyncio.ensure_future(self._look_now_and_then())
            try:
                yield
            finally:
                await cancel_and_wait(looking)
                loop.remove_reader(bell.fileno())
                place.unlink(missing_ok=True)

    def _hear(self, bell: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST):
                bell.recv(1)
        self._look()

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(LOOK_ANYWAY)
            self._look()

    def _look(self) -> None:
        for look in self._lookers:
            look()


def ring_all(directory: Path) -> None:
    """Wake everybody: a process has died, and what it held is free."""
    for place in directory.glob("bell-*"):
        _ring(place)


def _place(directory: Path, slot: int) -> Path:
    return directory / f"bell-{slot}"


def _ring(place: Path) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.sendto(b"!", str(place))
