"""Hands one answer from the thread that makes it to the loop that relays it, at the pace of its reader.

The only place where an application's thread and the loop meet: all that both look at is under one lock,
which is held for a few steps and never while somebody waits.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from shim.errors import ShimError
from shim.wire.framing import Framing
from shim.wire.headers import Headers

# Glance gives an image in pieces of 64 KiB: eight of them keep both sides busy.
MOST_HELD = 512 * 1024


class Abandoned(ConnectionError):
    """Nobody takes the answer any more: what a server's own socket would say of a client that left."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """Status, reason and fields of an answer, and how long its body is to be."""

    status: int
    reason: bytes
    headers: Headers
    framing: Framing


class AnswerPipe:
    """One answer under way.

    The thread calls ``begin``, ``send_head``, ``send`` and ``end``; the loop awaits ``begun``, ``head`` and
    ``take``, and says ``abandon`` when it leaves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the loop that the reader runs in."""
        self._loop = loop
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        # Set by the loop alone, and waited for by the one task that reads.
        self._news = asyncio.Event()
        self._listening = False
        self._has_begun = False
        self._head: AnswerHead | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._has_ended = False
        self._error: ShimError | None = None
        self._is_abandoned = False

    @property
    def is_abandoned(self) -> bool:
        """Whether the reader left before the end."""
        return self._is_abandoned

    # -- on the application's thread ----------------------------------------------------------------

    def begin(self) -> bool:
        """The request is taken up now; False where nobody waits for its answer any more."""
        with self._lock:
            self._has_begun = True
            self._tell()
            return not self._is_abandoned

    def send_head(self, head: AnswerHead) -> None:
        """Give the head; raises Abandoned."""
        with self._lock:
            self._check()
            self._head = head
            self._tell()

    def send(self, piece: bytes) -> None:
        """Give a part of the body, waiting while the reader is behind; raises Abandoned."""
        with self._lock:
            while self._held >= MOST_HELD and not self._is_abandoned:
                self._room.wait()
            self._check()
            self._pieces.append(piece)
            self._held += len(piece)
            self._tell()

    def end(self, error: ShimError | None = None) -> None:
        """Declare the answer whole, or broken off by ``error``; only the first call counts."""
        with self._lock:
            if not self._has_ended:
                self._has_ended, self._error = True, error
                self._tell()

    def _check(self) -> None:
        if self._is_abandoned:
            raise Abandoned("nobody waits for this answer any more")

    def _tell(self) -> None:
        if not self._listening:
            return
        self._listening = False
        # A loop that is closed has no reader: its process is about to end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    # -- on the loop --------------------------------------------------------------------------------

    async def begun(self) -> None:
        """Wait until a thread has taken the request up."""
        await self._until(lambda: self._has_begun)

    async def head(self) -> AnswerHead:
        """Wait for the head; raises what the answer ended with where it has none."""
        await self._until(lambda: self._head is not None or self._has_ended)
        if self._head is None:
            assert self._error is not None
            raise self._error
        return self._head

    async def take(self) -> bytes:
        """All of the body that has come meanwhile; ``b""`` at its end.

        Raises:
            ShimError: What broke it off; the pieces before it are given first.
        """
        await self._until(lambda: self._held > 0 or self._has_ended)
        with self._lock:
            pieces, self._pieces, self._held = self._pieces, [], 0
            self._room.notify_all()
        if not pieces and self._error is not None:
            raise self._error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abandon(self) -> None:
        """Leave: the thread is told at its next step, unless it has given its whole answer already."""
        with self._lock:
            self._is_abandoned = not self._has_ended
            self._pieces, self._held = [], 0
            self._room.notify_all()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not self._holds(is_so):
            await self._news.wait()

    def _holds(self, is_so: Callable[[], bool]) -> bool:
        with self._lock:
            if is_so():
                return True
            # Under the lock, so that no news falls between the look and the waiting.
            self._listening = True
            self._news.clear()
            return False
