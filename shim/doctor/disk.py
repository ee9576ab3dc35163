"""How fast the spool's disk takes bytes, and whether quotas lie over it."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shim.doctor import GLANCE_RATE
from shim.errors import ShimError
from shim.findings import Finding, Level
from shim.spool.disk import measure_space
from shim.spool.mounts import MOUNTS, mount_of
from shim.timing import Clock, Seconds

# Enough to be past what a controller buffers, and nobody notices it beside an image.
MOST_BYTES = 32 * 1024 * 1024
LONGEST: Seconds = 0.5
_STEP = 4 * 1024 * 1024
_ROOM = 1024 * 1024 * 1024
_MIB = 1024 * 1024
_QUOTAS = frozenset({"quota", "usrquota", "uquota", "grpquota", "gquota", "prjquota", "pquota"})


def inspect_rate(directory: Path, *, clock: Clock = time.monotonic) -> Iterator[Finding]:
    """Write a little and say how fast that was; nothing where no file can be made (others say so)."""
    with contextlib.suppress(OSError, ShimError):
        # A disk that is nearly full is others' last room; that it is another finding says.
        if measure_space(directory).free > _ROOM:
            yield judge_rate(measure_rate(directory, clock=clock))


def measure_rate(directory: Path, *, clock: Clock = time.monotonic) -> float:
    """Bytes a second that reach the disk; ``MOST_BYTES`` are written at most, within ``LONGEST`` and a step.

    Raises:
        OSError: No file can be made or written there.
    """
    # Bytes that no file system compresses or leaves out.
    step = os.urandom(_STEP)
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        begin, written = clock(), 0
        while written < MOST_BYTES and clock() - begin < LONGEST:
            written += file.write(step)
            # Otherwise it is the page cache that is measured.
            os.fdatasync(file.fileno())
        return written / max(clock() - begin, 1e-6)


def judge_rate(rate: float) -> Finding:
    """What a rate in bytes a second means for uploads."""
    told = f"takes {rate / _MIB:.0f} MiB/s (a short write, synced)"
    if rate >= GLANCE_RATE:
        return Finding(Level.FINE, told)
    return Finding(
        Level.WARNING,
        f"{told}: less than one worker of Glance takes (50 MiB/s), so the disk will be what uploads wait for",
        'spool.directory = "/a/faster/disk"',
    )


def inspect_quota(directory: Path, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """Say that quotas are on; how much of one is left the kernel tells only its owner's tools."""
    mount = mount_of(directory, mounts)
    found = [] if mount is None else sorted(_QUOTAS.intersection(mount.options))
    if found:
        text = (
            f"quotas are on ({', '.join(found)}): beyond that of the shim's user bodies end with 507, though "
            "there is free space. `quota` tells how much is left"
        )
        yield Finding(Level.NOTE, text, "spool.max_total = a size below the quota")
