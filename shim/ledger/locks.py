"""Locks on bytes of a file that end with whoever holds them: the kernel's proof that a process is alive.

They are bound to an open file description (``F_OFD_SETLK``, fcntl(2)), not to a process: closing some other
descriptor of the file does not lose them, and two owners in one process are told apart. A pid would prove
nothing, for it is somebody else's a moment later.
"""

import errno
import fcntl
import functools
import struct
import time

from shim.timing import Seconds

# struct flock as Linux has it, on which ``serve`` runs: type, whence, start, length, pid (0 for these locks).
_FLOCK = "hhqqi"

_PAUSE: Seconds = 0.0001


def try_lock(descriptor: int, byte: int, *, shared: bool = False) -> bool:
    """Take the lock of one byte, without waiting; whether it was free (shared: but for other sharers)."""
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(kind, byte, 1))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def lock_within(descriptor: int, byte: int, patience: Seconds) -> bool:
    """Take a lock that others hold for moments only; False where ``patience`` seconds were not enough."""
    if try_lock(descriptor, byte):
        return True
    # Not by F_OFD_SETLKW: the kernel's queue has no end of waiting, and an event loop stands behind this.
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(_PAUSE)
        if try_lock(descriptor, byte):
            return True
    return False


def unlock(descriptor: int, byte: int) -> None:
    """Give back the lock of one byte."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte, 1))


def is_locked(descriptor: int, byte: int, length: int = 1) -> bool:
    """Whether somebody else holds one of ``length`` bytes (0: of all from ``byte`` on)."""
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte, length))
    kind: int = struct.unpack(_FLOCK, answer[: struct.calcsize(_FLOCK)])[0]
    return kind != fcntl.F_UNLCK


@functools.cache
def _flock(kind: int, byte: int, length: int) -> bytes:
    return struct.pack(_FLOCK + "0q", kind, 0, byte, length, 0)
