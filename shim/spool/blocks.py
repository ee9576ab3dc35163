"""A file's blocks on the disk, taken in large steps before its bytes come (fallocate(2)).

Otherwise ext4 reserves one for each page that is written, an eighth of an upload's cost (decision 31);
and a disk that another program fills cannot fail a body in the middle of a step.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable

MIB = 1024 * 1024
# Larger steps were no faster (measured), and all of it lies within what the body was granted.
STEP = 32 * MIB
# What is shorter does not earn the call.
LEAST = 4 * MIB
# The file's size stays what was written: readers, hand-off and applications go by it.
_KEEP_SIZE = 1


class Blocks:
    """Those of one file; used by one thread at a time.

    Attributes:
        end: Up to where the file has blocks, whatever is written there.
    """

    def __init__(self, descriptor: int) -> None:
        """Take the file, which is empty."""
        self._descriptor = descriptor
        self._has_given_up = False
        self.end = 0

    def missing(self, offset: int, size: int) -> int:
        """How many bytes of a write have no block yet."""
        return max(0, offset + size - max(offset, self.end))

    def step(self, offset: int, granted: int) -> int:
        """How many bytes from ``offset`` on are worth taking now; the file may grow up to ``granted``."""
        size = min(granted - offset, STEP)
        return 0 if size < LEAST or self._has_given_up else size

    def take(self, offset: int, size: int) -> None:
        """Take them where the file system can; a favour, for without it the write itself takes them."""
        before = _taken(self._descriptor)
        if (
            _allocate is not None
            and _allocate(self._descriptor, offset, size)
            # ZFS agrees, and takes nothing: what is free would look taken.
            and _taken(self._descriptor) - before >= size // 2
        ):
            self.end = offset + size
        else:
            # It cannot (NFS, some FUSE), or has too little: the write that does not fit will say so.
            self._has_given_up = True

    def trim(self, end: int) -> None:
        """Give back what lies beyond the file's end, which is ``end``."""
        if self.end > end:
            # ext4 and XFS free blocks beyond the end also where the size stays the same. Where it fails, the
            # file's close gives them back.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end)
            self.end = end


def _taken(descriptor: int) -> int:
    """Bytes of the disk that a file has."""
    return os.fstat(descriptor).st_blocks * 512


def _find_allocate() -> Callable[[int, int, int], bool] | None:
    """fallocate(2) of the C library; where there is no such call os.posix_fallocate would write zeros."""
    library = ctypes.CDLL(None)
    # On 64-bit systems both are one; on others only this takes large offsets (glibc).
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    call.restype = ctypes.c_int

    def allocate(descriptor: int, offset: int, size: int) -> bool:
        return call(descriptor, _KEEP_SIZE, offset, size) == 0  # type: ignore[no-any-return]

    return allocate


_allocate = _find_allocate()
