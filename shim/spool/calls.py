"""The system calls of a spool file, each to its end: opening, writing all, reading all, closing.

They hold the calling thread for as long as the disk takes, so the loop's never makes one. Their OSErrors are
the kernel's own; ``disk`` makes ours of them.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from shim.errors import DiskError

Pieces: TypeAlias = Sequence[bytes | bytearray | memoryview]

# pwritev takes at most IOV_MAX pieces (1024 on Linux).
MAX_PIECES = 1024
NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
"""What file systems say that have no O_TMPFILE (overlayfs of old kernels, NFS)."""


def open_file(directory: Path) -> int:
    """A new file for its owner alone, without a name; where there are no such files it loses it at once."""
    try:
        return open_nameless(directory)
    except OSError as error:
        if error.errno not in NO_NAMELESS:
            raise
        return _open_unlinked(directory)


def open_nameless(directory: Path) -> int:
    """A file that never has a name, so that no crash can leave it; fails by one of ``NO_NAMELESS`` too."""
    return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _open_unlinked(directory: Path) -> int:
    descriptor, name = tempfile.mkstemp(prefix="glance-shim-", dir=directory)
    try:
        Path(name).unlink()
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write_all(descriptor: int, offset: int, pieces: Pieces, left: int) -> None:
    """Write all pieces, of ``left`` bytes together, one after the other at ``offset``."""
    while left:
        written = os.pwritev(descriptor, pieces[:MAX_PIECES], offset)
        offset += written
        left -= written
        if left:
            pieces = _after(pieces, written)


def _after(pieces: Pieces, written: int) -> Pieces:
    """What remains of the pieces after a write that was short, or had more of them than it takes at once."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []


def read_exactly(descriptor: int, offset: int, size: int) -> bytes:
    """Read ``size`` bytes at ``offset``.

    Raises:
        DiskError: The file ends before that; somebody has cut it.
    """
    parts = []
    while size:
        part = os.pread(descriptor, size, offset)
        if not part:
            raise DiskError("The spool could not read a body back: the file ends too early.")
        parts.append(part)
        offset += len(part)
        size -= len(part)
    # Nearly always one call gives all, and that is not copied.
    return parts[0] if len(parts) == 1 else b"".join(parts)


def close(descriptor: int) -> None:
    """Close it, come what may."""
    # The descriptor is gone even where close() fails, and the bytes that it could not write nobody wants.
    with contextlib.suppress(OSError):
        os.close(descriptor)
