"""The disk as the spool sees it: nameless files, positional reads and writes, free space.

The only module that knows aiofiles, and the only place where OSErrors of the spool turn into our own:
everything runs on threads of its own, so that a stalled disk stalls neither the loop nor name look-ups.
"""

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from aiofiles.os import wrap

from shim.errors import DiskError, DiskFull
from shim.spool.blocks import Blocks
from shim.timing import finish

Piece: TypeAlias = bytes | bytearray | memoryview

# pwritev takes at most IOV_MAX pieces (1024 on Linux).
MAX_PIECES = 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The process has as many descriptors as it may: the disk is well.
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, slots=True)
class Space:
    """Size and free bytes (for unprivileged users) of the spool's file system, and what is to stay free."""

    total: int
    free: int
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of bytes, or a share (0 to 1) of the file system."""

    size: float = 0
    share: float | None = None

    def of(self, total: int) -> float:
        """The bytes it means on a file system of ``total`` bytes; of a share, whole ones."""
        return self.size if self.share is None else int(self.share * total)


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

    def __init__(self, directory: Path, *, min_free: Amount = Amount(), threads: int = 8) -> None:
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
        opening = asyncio.ensure_future(wrap(_open_nameless)(self._directory, executor=self._threads))
        try:
            descriptor = await finish(opening)
        except asyncio.CancelledError:
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
        self._find_room(offset, size, granted)
        _write_all(self._descriptor, offset, pieces, size)

    def _find_room(self, offset: int, size: int, granted: int) -> None:
        """Take blocks for this write and more, where the reserve leaves room for both, or raise DiskFull."""
        missing = self._blocks.missing(offset, size)
        space = measure_space(self._descriptor)
        reserve = self._min_free.of(space.total)
        if missing and (step := self._blocks.step(offset, granted)) and space.free - step >= reserve:
            self._blocks.take(offset, step)
        elif space.free - missing < reserve:
            raise _too_full()

    def trim_now(self, end: int) -> None:
        """Give back the blocks beyond ``end``."""
        self._blocks.trim(end)

    async def read(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        data: bytes = await finish(
            wrap(_read_exactly)(self._descriptor, offset, size, executor=self._threads)
        )
        return data

    def read_now(self, offset: int, size: int) -> bytes:
        """Read exactly ``size`` bytes, on the calling thread."""
        return _read_exactly(self._descriptor, offset, size)

    async def close(self) -> None:
        """Close, on a thread: freeing a gigabyte takes the kernel a while."""
        await finish(wrap(_close)(self._descriptor, executor=self._threads))


@contextlib.contextmanager
def disk_errors(doing: str, place: Path | int | None = None) -> Iterator[None]:
    """Turn an OSError into DiskFull or DiskError; ``doing`` completes "The spool could not ..."."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        text = f"The spool could not {doing}: {reason}."
        if error.errno in _FULL:
            fault: DiskFull | DiskError = DiskFull(text, retry_after=60)
        else:
            fault = DiskError(text)
        if isinstance(place, Path):
            name_disk(fault, place, is_out_of_files=error.errno in _NO_FILES)
        raise fault from error


def name_disk(fault: DiskFull | DiskError, directory: Path, *, is_out_of_files: bool = False) -> None:
    """Tell the operator, and no client, which disk it is and what to do; who met the fault may not know."""
    if is_out_of_files:
        todo = "raise the limit of open files"
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


def _open_nameless(directory: Path) -> int:
    with disk_errors("open a file", directory):
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # Some file systems (overlayfs of old kernels, NFS) have no O_TMPFILE.
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            return _open_unlinked(directory)


def _open_unlinked(directory: Path) -> int:
    descriptor, name = tempfile.mkstemp(prefix="glance-shim-", dir=directory)
    try:
        Path(name).unlink()
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _close(descriptor: int) -> None:
    # The descriptor is gone even where close() fails, and the bytes that it could not write nobody wants.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _check_free(directory: Path, size: int, min_free: Amount) -> None:
    space = measure_space(directory)
    if space.free - size < min_free.of(space.total):
        fault = _too_full()
        name_disk(fault, directory)
        raise fault


def _too_full() -> DiskFull:
    return DiskFull("The spool's disk is too full: free space would sink below its reserve.", retry_after=60)


def _write_all(descriptor: int, offset: int, pieces: Sequence[Piece], left: int) -> None:
    with disk_errors("write"):
        while left:
            written = os.pwritev(descriptor, pieces[:MAX_PIECES], offset)
            offset += written
            left -= written
            if left:
                pieces = _after(pieces, written)


def _after(pieces: Sequence[Piece], written: int) -> list[Piece]:
    """What remains of the pieces after a write that was short, or had more of them than it takes at once."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []


def _read_exactly(descriptor: int, offset: int, size: int) -> bytes:
    parts = []
    with disk_errors("read a body back"):
        while size:
            part = os.pread(descriptor, size, offset)
            if not part:
                raise DiskError("The spool could not read a body back: the file ends too early.")
            parts.append(part)
            offset += len(part)
            size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
