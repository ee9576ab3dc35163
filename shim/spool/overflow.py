"""What an answer spools while its client takes it more slowly than its server gives it.

A chain of bodies with one writer and one reader. A body that was read is gone, and its place free for what
comes after it: so an answer of any length gets along with what was leased for it once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from shim.asgi import BodySink
from shim.spool.body import Body
from shim.spool.disk import Piece

# At most so much is added in one step, so that the writer never needs more room than that.
STEP = 256 * 1024
# A file is given back when it was read to its end: large ones are few, small ones give room back earlier.
LARGEST_LINK = 64 * 1024 * 1024
# Into so many files an answer is cut that has less room than it is long.
LINKS = 8


class Overflow:
    """Bytes between a server and a client that is slower; the writer waits for room, the reader for bytes."""

    def __init__(
        self,
        open_body: Callable[[int], Body],
        drop_body: Callable[[Body], Awaitable[None]],
        *,
        room: int,
        length: int | None,
    ) -> None:
        """Take where bodies come from and go to, and the room.

        Args:
            open_body: Makes an empty body, for so many bytes at most.
            drop_body: Gives one back.
            room: Bytes that may be on the disk at once; eight steps at least, if it is less than ``length``.
            length: Bytes that may come, None where that is not known.
        """
        self._open_body = open_body
        self._drop_body = drop_body
        if length is not None and length <= room:
            self._link = LARGEST_LINK
            self._most_unread = room
        else:
            # The link that is being read is on the disk to its end: its beginning is nobody's room yet.
            self._link = min(room // LINKS, LARGEST_LINK)
            self._most_unread = room - self._link
        self._bodies: deque[Body] = deque()
        self._offset = 0
        self._has_ended = False
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Overflow: {self._unread} bytes unread, {len(self._bodies)} bodies>"

    @property
    def _unread(self) -> int:
        return sum(body.received for body in self._bodies) - self._offset

    @property
    def can_end(self) -> bool:
        """Whether the reader has caught up where a body ends: what comes after needs none."""
        return self._unread == 0 and (not self._bodies or self._bodies[-1].is_whole)

    async def write(self, data: Piece) -> None:
        """Add bytes; returns when they are kept, which may take as long as the reader takes.

        Raises:
            LimitReached: The disk is full, or failed.
        """
        left = memoryview(data)
        while left:
            body = await self._last_body()
            part = left[: min(STEP, self._link - body.received)]
            while self._unread + len(part) > self._most_unread:
                await self._wait()
            await body.append(part)
            if body.received == self._link:
                await body.seal()
            left = left[len(part) :]

    @contextlib.asynccontextmanager
    async def sink(self, least: int) -> AsyncIterator[BodySink | None]:
        """The file that is being written, for a thread to go on; None where the next bytes begin a new one.

        Its room ends where the file does, or what may be unread; ``least`` bytes of that are waited for.

        Raises:
            LimitReached: The disk is full, or failed.
        """
        if not self._bodies or self._bodies[-1].is_whole:
            yield None
            return
        while self._unread + least > self._most_unread:
            await self._wait()
        body = self._bodies[-1]
        async with body.sink() as sink:
            sink.room = min(sink.room, self._most_unread - self._unread)
            yield sink
        if body.received == self._link:
            await body.seal()

    async def end(self) -> None:
        """Nothing more comes.

        Raises:
            LimitReached: The disk is full, or failed.
        """
        if self._bodies and not self._bodies[-1].is_whole:
            await self._bodies[-1].seal()
        self._has_ended = True
        self._wake()

    async def read(self, most: int) -> bytes:
        """The next bytes, up to ``most``, waiting for them; ``b""`` at the end.

        Raises:
            DiskError: They could not be read back.
        """
        while True:
            if self._bodies:
                data = await self._bodies[0].read(self._offset, most)
                if data:
                    self._offset += len(data)
                    self._wake()
                    return data
                await self._drop_first()
            elif self._has_ended:
                return b""
            else:
                await self._wait()

    async def close(self) -> None:
        """Give all bodies back; neither side may be at work."""
        while self._bodies:
            await self._drop_first()

    async def _last_body(self) -> Body:
        if not self._bodies or self._bodies[-1].is_whole:
            self._bodies.append(self._open_body(self._link))
            self._wake()
        return self._bodies[-1]

    async def _drop_first(self) -> None:
        body = self._bodies.popleft()
        self._offset = 0
        await self._drop_body(body)

    async def _wait(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
