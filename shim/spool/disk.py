"""The disk as the spool sees it: nameless files, positional reads and writes, free space.

The only module that knows aiofiles, and the only place where OSErrors of the spool turn into our own:
everything runs on threads of its own, so that a stalled disk stalls neither the loop nor name look-ups.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

from aiofiles.os import wrap

from shim.errors import DiskError, DiskFull
from shim.spool.blocks import Blocks
from shim.spool.calls import close, open_file, read_exactly, write_all
from shim.spool.space import NOTHING, Amount, Space
from shim.timing import finish

Piece: TypeAlias = bytes | bytearray | memoryview

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Where the disk itself is well.
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the limit of open files",
    errno.ENOENT: "make that directory, or set spool.directory",
    errno.ENOTDIR: "make that directory, or set spool.directory",
    errno.EACCES: "let the shim's user write there, or set spool.directory",
    errno.EPERM: "let the shim's user write there, or set spool.directory",
}


class SpoolFile(Protocol):
    """One body's bytes on disk, without a name: gone when closed, or when the process dies."""

    def fileno(self) -> int | None:
        """The descriptor, for sendfile and hand-off; None where what it gives is not the body (encrypted)."""
        ...

    async def write(self, offset: int, pieces: Sequence[Piece]) -> None:
        """Write all pieces one after the other at ``offset``; raises DiskFull or DiskError."""
        ...

    def write_now(self, offset: int, pieces: Sequence[Piece], granted: int = 0) -> None:
        """The same on the calling thread, which is to be none that others wait for.

        Up to ``granted`` the file may grow: the disk may prepare for it, and for no more.
        """
        ...

    def trim_now(self, end: int) -> None:
        """Nothing comes after ``end``: give back what was prepared; on the calling thread."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes; raises DiskError where the disk gives fewer."""
        ...

    async def close(self) -> None:
        """Give the space back."""
        ...


class Disk(Protocol):
    """Where spool files come from."""

    @property
    def directory(self) -> Path:
        """Which disk it is, for the operator."""
        ...

    async def create(self) -> SpoolFile:
        """A new empty file; raises DiskFull or DiskError."""
        ...

    async def check(self, size: int) -> None:
        """Raise DiskFull where ``size`` more bytes would not leave the reserve."""
        ...

    async def space(self) -> Space:
        """What the file system has; raises DiskError."""
        ...


class LocalDisk:
    """A directory of a local file system.

    Args:
        directory: Where the nameless files are.
        min_free: What a write must leave free; asked at every write, for others fill disks too.
        threads: Disk calls under way at once.
    """

    def __init__(self, directory: Path, *, min_free: Amount = NOTHING, threads: int = 8) -> None:
        self._directory = directory
        self._min_free = min_free
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="spool")

    @property
    def directory(self) -> Path:
        """Where the nameless files are."""
        return self._directory

    async def create(self) -> SpoolFile:
        """Open a nameless file (mode 0600)."""
        return await self._create()

    async def _create(self) -> "LocalFile":
        opening = asyncio.ensure_future(wrap(_open)(self._directory, executor=self._threads))
        try:
            descriptor = await finish(opening)
        except asyncio.CancelledError:
            # It was opened all the same, and nobody else knows of it.
            if not opening.cancelled() and opening.exception() is None:
                os.close(opening.result())
            raise
        return LocalFile(descriptor, self._threads, self._min_free)

    async def check(self, size: int) -> None:
        """Raise DiskFull where ``size`` more bytes would not leave ``min_free``."""
        await wrap(_check_free)(self._directory, size, self._min_free, executor=self._threads)

    async def space(self) -> Space:
        """Ask the file system."""
        space: Space = await wrap(measure_space)(self._directory, executor=self._threads)
        return replace(space, reserve=int(self._min_free.of(space.total)))

    def close(self) -> None:
        """End the threads; no file may be open."""
        self._threads.shutdown()


class LocalFile:
    """A nameless file; the calls run on the disk's threads.

    A cancelled call is waited for all the same: its thread still uses the descriptor, and closing it
    meanwhile could let the call write into the file that gets the number next.
    """

    def __init__(self, descriptor: int, threads: ThreadPoolExecutor, min_free: Amount) -> None:
        self._descriptor = descriptor
        self._threads = threads
        self._min_free = min_free
        self._blocks = Blocks(descriptor)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    async def write(self, offset: int, pieces: Sequence[Piece]) -> None:
        """Write all pieces at ``offset``."""
        await finish(wrap(self.write_now)(offset, pieces, executor=self._threads))

    def write_now(self, offset: int, pieces: Sequence[Piece], granted: int = 0) -> None:
        """Write all pieces at ``offset``, on the calling thread."""
        size = sum(map(len, pieces))
        if missing := self._blocks.missing(offset, size):
            self._find_room(offset, missing, granted)
        try:
            write_all(self._descriptor, offset, pieces, size)
        except OSError as error:
            raise _disk_fault("write", error) from error

    def _find_room(self, offset: int, missing: int, granted: int) -> None:
        """Take blocks for this write and more, where the reserve leaves room for both, or raise DiskFull.

        Only for what the file has no blocks for yet: the others are taken, whatever is free by now.
        """
        # Asked, then taken: threads that ask in the same moment may together go below the reserve, by a step
        # each. The next write sees that, and is refused (decision 31).
        space = measure_space(self._descriptor)
        reserve = self._min_free.of(space.total)
        if (step := self._blocks.step(offset, granted)) and space.free - step >= reserve:
            self._blocks.take(offset, step)
        elif space.free - missing < reserve:
            raise _too_full()

    def trim_now(self, end: int) -> None:
        """Give back the blocks beyond ``end``."""
        self._blocks.trim(end)

    async def read(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        data: bytes = await finish(wrap(self.read_now)(offset, size, executor=self._threads))
        return data

    def read_now(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes, on the calling thread."""
        with disk_errors("read a body back"):
            return read_exactly(self._descriptor, offset, size)

    async def close(self) -> None:
        """Close, on a thread: freeing a gigabyte takes the kernel a while."""
        await finish(wrap(close)(self._descriptor, executor=self._threads))


@contextlib.contextmanager
def disk_errors(doing: str, place: Path | int | None = None) -> Iterator[None]:
    """Turn an OSError into DiskFull or DiskError; ``doing`` completes "The spool could not ..."."""
    try:
        yield
    except OSError as error:
        raise _disk_fault(doing, error, place) from error


def _disk_fault(doing: str, error: OSError, place: Path | int | None = None) -> DiskFull | DiskError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    text = f"The spool could not {doing}: {reason}."
    # A quota too: for its user the disk is full, whatever the file system still has.
    if error.errno in _FULL:
        fault: DiskFull | DiskError = DiskFull(text, retry_after=60)
    else:
        fault = DiskError(text)
    if isinstance(place, Path):
        name_disk(fault, place, error.errno)
    return fault


def name_disk(fault: DiskFull | DiskError, directory: Path, number: int | None = None) -> None:
    """Tell the operator, and no client, which disk it is and what to do."""
    if number in _REMEDIES:
        todo = _REMEDIES[number]
    elif isinstance(fault, DiskFull):
        todo = "make room there, or move spool.directory"
    else:
        todo = "look at the kernel's log, or move spool.directory"
    fault.for_operator = f"{fault.detail} The spool is {directory}: {todo}."


def measure_space(place: Path | int) -> Space:
    """Size and free bytes of the file system of a directory or descriptor; raises DiskError."""
    with disk_errors("ask for its free space", place):
        result = os.statvfs(place)
    return Space(result.f_blocks * result.f_frsize, result.f_bavail * result.f_frsize)


def _open(directory: Path) -> int:
    with disk_errors("open a file", directory):
        return open_file(directory)


def _check_free(directory: Path, size: int, min_free: Amount) -> None:
    space = measure_space(directory)
    if space.free - size < min_free.of(space.total):
        fault = _too_full()
        name_disk(fault, directory)
        raise fault


def _too_full() -> DiskFull:
    return DiskFull("The spool's disk is too full: free space would sink below its reserve.", retry_after=60)
