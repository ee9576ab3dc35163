"""A request body between its client and its upstream: one writer, any number of readers.

Its bytes stay in memory up to a limit and go to a nameless file beyond it. A reader may wait for bytes
not there yet: that one idea carries spooling (read after sealing), cut-through (read while it grows),
replay (read again) and hand-off (give away the file).
"""

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator, Awaitable, Callable

from shim.errors import ShimError
from shim.spool.disk import Piece, SpoolFile
from shim.spool.sink import FileSink
from shim.wire.digest import BodyDigest

# A file is written in batches of this size: small chunks must not become small writes.
BATCH = 512 * 1024
# What readers do not get of a declared length before the body has ended as it should: a server that
# lacks one byte cannot take for whole what turns out too short, too long or malformed.
HELD_BACK = 1


class BodyState(enum.Enum):
    """Where a body is in its life."""

    GROWING = "growing"
    SEALED = "sealed"
    FAILED = "failed"


class Body:
    """The bytes of one request.

    Bytes ``[0, on_disk)`` are in the file, the rest up to ``received`` in memory. The writer calls
    ``append`` and then ``seal`` or ``fail``; a failed body ends every reader with the same error.

    Attributes:
        digest: Is shown each byte once and in order, on the thread that adds it; the writer sets it before
            the first one, where a digest was declared, and judges it before the end.
    """

    def __init__(
        self,
        open_file: Callable[[], Awaitable[SpoolFile]],
        *,
        memory_limit: int,
        declared: int | None = None,
        admit: Callable[[int], int] = lambda size: size,
    ) -> None:
        """Take where files come from, and the limits.

        Args:
            open_file: Makes a new spool file.
            memory_limit: Bytes kept in memory at most.
            declared: The length that the writer will keep to or fail; None where it is not known.
            admit: Must agree to each new size: says up to which it agrees beforehand, or raises.
        """
        self._open_file = open_file
        self._memory_limit = memory_limit
        self._declared = declared
        self._admit = admit
        # One buffer, not a list of pieces: a client may send its body byte by byte.
        self._memory = bytearray()
        self._on_disk = 0
        self._file: SpoolFile | None = None
        self._sink: FileSink | None = None
        self._admitted = 0
        self._error: ShimError | None = None
        # Made by the first reader that waits: nearly always none does.
        self._changed: asyncio.Event | None = None
        self.digest: BodyDigest | None = None
        self.state = BodyState.GROWING

    @property
    def received(self) -> int:
        """Bytes that have come so far."""
        return self._out_of_memory + len(self._memory)

    @property
    def _out_of_memory(self) -> int:
        """Bytes that are in the file, by the writer or by a pump."""
        return self._on_disk if self._sink is None else self._on_disk + self._sink.written

    @property
    def length(self) -> int | None:
        """The final length: known when the body is sealed, or declared; else None."""
        return self.received if self.is_whole else self._declared

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there, and has ended as it should."""
        return self.state is BodyState.SEALED

    @property
    def readable(self) -> int:
        """Up to where readers get bytes now."""
        if self.is_whole or self._declared is None:
            return self.received
        return min(self.received, self._declared - HELD_BACK)

    @property
    def is_in_file(self) -> bool:
        """Whether the body has left memory."""
        return self._file is not None

    def fileno(self) -> int | None:
        """The file's descriptor, None without one; ``in_file`` says how much of it may be read."""
        return None if self._file is None else self._file.fileno()

    @property
    def in_file(self) -> int:
        """Up to where the file holds what readers may have."""
        return min(self.readable, self._out_of_memory)

    @property
    def in_memory(self) -> Piece | None:
        """All of it, where it is whole and in memory; else None. Valid until the body is closed."""
        return memoryview(self._memory) if self.is_whole and self._file is None else None

    def outgrows_memory(self, more: int) -> bool:
        """Whether the body has, or is bound to have, a file when ``more`` bytes have come."""
        return self._file is not None or self.received + more > self._memory_limit

    async def append(self, data: Piece, *, to_come: int = 0) -> None:
        """Add bytes; returns when they are kept, so that a slow disk slows its own client only.

        Args:
            data: The bytes.
            to_come: How many are known to follow: what will not stay in memory goes to the file now.

        Raises:
            LimitReached: The new size was not admitted, or the file could not be opened or written.
        """
        if len(data) == 0:
            return
        assert self._sink is None, "a pump is the writer"
        self._admitted = self._admit(self.received + len(data) + to_come)
        if self.digest is not None:
            self.digest.update([data])
        self._memory += data
        # A file is written in batches, but begun as soon as it is known that there will be one.
        if self.outgrows_memory(to_come) if self._file is None else len(self._memory) > BATCH:
            await self._flush()
        self._wake_readers()

    @contextlib.asynccontextmanager
    async def sink(self) -> AsyncIterator[FileSink]:
        """The file, for a pump to write to while the block runs; what does not fit its room is appended.

        Raises:
            LimitReached: What is still in memory could not be written.
        """
        await self._flush()
        assert self._file is not None
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake_readers)

        room = max(0, self._admitted - self.received)
        self._sink = FileSink(self._file, self._on_disk, room, wake, self.digest)
        # Who waits already has not asked this sink to tell: look again, and ask.
        self._wake_readers()
        try:
            yield self._sink
        finally:
            self._on_disk, self._sink = self.received, None
            self._wake_readers()

    async def seal(self) -> None:
        """Declare the body whole: from here on it has a length and does not change."""
        if self._file is not None:
            await self._flush()
        self.state = BodyState.SEALED
        self._wake_readers()

    def fail(self, error: ShimError) -> None:
        """End the body before its end: whoever reads it gets ``error``, never a shorter body."""
        self._error = error
        self.state = BodyState.FAILED
        self._wake_readers()

    async def wait(self, offset: int) -> bool:
        """Wait until bytes from ``offset`` on can be read; False where the body ends there.

        Raises:
            ShimError: What the body failed with.
        """
        while True:
            if self._error is not None:
                raise self._error
            if self._has_come(offset):
                return True
            if self.is_whole:
                return False
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()

    async def read(self, offset: int, most: int) -> bytes:
        """Up to ``most`` bytes from ``offset`` on, waiting for them; ``b""`` at a sealed body's end.

        Raises:
            ShimError: What the body failed with, or DiskError on reading back.
        """
        if not await self.wait(offset):
            return b""
        if offset < self.in_file:
            assert self._file is not None
            return await self._file.read(offset, min(most, self.in_file - offset))
        start, end = offset - self._on_disk, min(offset + most, self.readable) - self._on_disk
        return bytes(memoryview(self._memory)[start:end])

    async def close(self) -> None:
        """Drop the bytes and the file; without a file it waits for nothing."""
        file, self._file = self._file, None
        self._memory, self._on_disk = bytearray(), 0
        if file is not None:
            await file.close()

    async def _flush(self) -> None:
        if self._file is None:
            self._file = await self._open_file()
        if not self._memory:
            return
        # The bytes stay readable in memory until the write is over: readers may run meanwhile, and
        # the one writer waits here, so that nothing is added.
        await self._file.write(self._on_disk, [self._memory])
        self._on_disk += len(self._memory)
        self._memory = bytearray()

    def _has_come(self, offset: int) -> bool:
        """Whether a byte is readable there; asks a pump first to tell of what it writes after this look."""
        if self._sink is not None:
            self._sink.is_awaited = True
        return offset < self.readable

    def _wake_readers(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
