"""Gives a nameless spool file a name for a moment, so that a process of another user can open it.

The name is taken back as soon as it was used. What a killed process left is swept at the next start: a
file belongs to nobody when nobody holds its lock.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

from shim.timing import finish

log = logging.getLogger("shim.spool")

PREFIX = "handoff-"
# Readable for the group of the spool directory, where the operator put the server's user; for nobody else.
_MODE = 0o640


@contextlib.asynccontextmanager
async def named(descriptor: int, place: Path) -> AsyncIterator[Path]:
    """Link the file behind ``descriptor`` at ``place`` while the block runs.

    Raises:
        OSError: It cannot be linked there, or the group cannot be given.
    """
    try:
        await finish(asyncio.to_thread(_link, descriptor, place))
        yield place
    finally:
        await finish(asyncio.to_thread(_unlink, descriptor, place))


def sweep_names(directory: Path) -> int:
    """Remove the names that killed processes left in a spool directory; gives how many there were."""
    return sum(_remove_if_left(place) for place in directory.glob(f"{PREFIX}*"))


def _link(descriptor: int, place: Path) -> None:
    # Held by all who share this open file, so by us until the body is closed: the sign of life for others.
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    group = place.parent.stat().st_gid
    if os.fstat(descriptor).st_gid != group:
        os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, _MODE)
    # Without a directory's descriptor Python calls link(2), which follows no symbolic links on Linux.
    os.link(f"/proc/self/fd/{descriptor}", place, src_dir_fd=descriptor, follow_symlinks=True)


def _unlink(descriptor: int, place: Path) -> None:
    try:
        # Where the link could not be made, or was not made any more, the name may be somebody else's.
        if os.path.samestat(place.lstat(), os.fstat(descriptor)):
            place.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("A spool file handed to a server keeps its name %s: %s", place, error.strerror)


def _remove_if_left(place: Path) -> bool:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place.unlink()
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
