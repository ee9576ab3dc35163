"""Looks at a spool directory before it is used: writable, nameless files, space, what it lies on.

Every finding says what it means and what to do; nothing is raised, for all of them are wanted at once.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shim.errors import ShimError
from shim.findings import Finding, Level
from shim.spool.calls import NO_NAMELESS, open_nameless
from shim.spool.disk import measure_space
from shim.spool.mounts import MOUNTS, mount_of
from shim.spool.space import Amount, Space
from shim.timing import UNLIMITED

_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
_WRITE_AND_ENTER = os.W_OK | os.X_OK


def is_directory(place: Path) -> bool:
    """Whether it is one, as far as this user may look (pathlib's own raises where the user may not)."""
    try:
        return place.is_dir()
    except PermissionError:
        return False


def _told_missing(place: Path) -> str:
    if not os.access(place.parent, os.X_OK):
        return f"{place} cannot be looked at by this user (uid {os.geteuid()}): check as the shim's user"
    return f"{place} is no directory: make it, or set spool.directory"


def inspect_directory(
    directory: Path, *, max_total: Amount, min_free: Amount, mounts: Path = MOUNTS
) -> Iterator[Finding]:
    """All findings about a spool directory and the limits set for it."""
    if not is_directory(directory):
        yield Finding(Level.FAULT, _told_missing(directory))
        return
    if not os.access(directory, _WRITE_AND_ENTER):
        yield Finding(Level.FAULT, f"{directory} cannot be written to by this user (uid {os.geteuid()})")
        return
    yield _inspect_files(directory)
    mount = mount_of(directory, mounts)
    if mount is not None and mount.kind in _MEMORY_FILE_SYSTEMS:
        yield Finding(
            Level.WARNING,
            f"{directory} is a {mount.kind}: spooled bodies use up memory. Set spool.directory to a disk, "
            "or keep spool.max_total well below the memory",
        )
    try:
        space = measure_space(directory)
    except ShimError as error:
        yield Finding(Level.FAULT, error.for_operator)
        return
    yield from _inspect_space(space, max_total, min_free)


def _inspect_files(directory: Path) -> Finding:
    try:
        descriptor = open_nameless(directory)
    except OSError as error:
        if error.errno in NO_NAMELESS:
            return _inspect_named_files(directory)
        return Finding(Level.FAULT, f"{directory}: no file can be made there: {error.strerror}")
    os.close(descriptor)
    return Finding(Level.FINE, f"{directory} is writable, with nameless files (O_TMPFILE)")


def _inspect_named_files(directory: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        return Finding(Level.FAULT, f"{directory}: no file can be made there: {error.strerror}")
    return Finding(
        Level.WARNING,
        f"{directory} has no O_TMPFILE: a file has a name for a moment, and a crash in that moment leaves it",
    )


def _inspect_space(space: Space, max_total: Amount, min_free: Amount) -> Iterator[Finding]:
    budget, reserve = max_total.of(space.total), min_free.of(space.total)
    usable = space.free - reserve
    if usable <= 0:
        yield Finding(
            Level.FAULT,
            f"{_gib(space.free)} free, less than spool.min_free ({_gib(reserve)}): larger uploads get 507",
        )
    elif budget == UNLIMITED or budget > space.total:
        yield Finding(
            Level.WARNING,
            f"spool.max_total is larger than the file system ({_gib(space.total)}): "
            "uploads end with 507 when the disk is full, instead of 503 before that",
        )
    elif budget > usable:
        yield Finding(
            Level.WARNING,
            f"{_gib(usable)} usable now ({_gib(space.free)} free, {_gib(reserve)} in reserve), "
            f"less than spool.max_total ({_gib(budget)})",
        )
    else:
        yield Finding(Level.FINE, f"{_gib(space.free)} free; uploads may use {_gib(budget)} together")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
