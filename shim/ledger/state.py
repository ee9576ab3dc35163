"""The state directory: where the processes of a shim find each other, and nobody else finds anything.

It lies outside the spool, which holds bodies only. Whoever may write to it could lift every limit, so a
directory that somebody else owns, or may write to, is not used.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shim.errors import DiskError

_PRIVATE = 0o700
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def default_directory(spool: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where state lies if nothing is said: one directory for each user and spool.

    So a shim and its successor find each other, and shims that have nothing to do with each other do not.
    """
    digest = hashlib.blake2b(os.fsencode(spool.resolve()), digest_size=6).hexdigest()
    name = f"glance-shim-{os.getuid()}-{digest}"
    # Memory before disk: the table is written to all the time, and never outlives the machine's uptime.
    places = [environment.get("XDG_RUNTIME_DIR"), "/dev/shm", tempfile.gettempdir(), "/var/tmp"]  # noqa: S108 - the directory in it is ours alone, and checked
    for place in places:
        if place and os.access(place, os.W_OK | os.X_OK) and not _is_inside(Path(place), spool):
            return Path(place) / name
    return spool.resolve().parent / name


def open_directory(path: Path) -> int:
    """A descriptor of the state directory, which is made where it is missing.

    Raises:
        DiskError: It cannot be had, or others may write to it.
    """
    try:
        path.mkdir(mode=_PRIVATE, parents=False, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    try:
        _check_owner(path, os.fstat(descriptor))
        # systemd-tmpfiles leaves directories alone that somebody holds a lock on.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except DiskError:
        os.close(descriptor)
        raise
    except OSError as error:
        os.close(descriptor)
        raise _refused(path, error.strerror or str(error)) from error
    return descriptor


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise _refused(path, f"it belongs to user {found.st_uid}, not to this one")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise _refused(path, "others may write to it; its mode should be 0700")


def _refused(path: Path, reason: str) -> DiskError:
    return DiskError(
        "The shim's state directory cannot be used; its log says why.",
        for_operator=f"server.state_directory {path}: {reason}",
    )


def _is_inside(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())
