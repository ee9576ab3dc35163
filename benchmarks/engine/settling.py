"""Waiting until the page cache has settled: what one run left dirty, the next one pays for.

Read from /proc/meminfo, told what to sleep with, so that the decision is tested without either.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
_PAUSE = 0.25
_LIMIT = 20.0
_CLEAN_KIB = 32 * 1024


def unwritten_kib(meminfo: str) -> int:
    """Dirty and Writeback of /proc/meminfo together, in KiB."""
    lines = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return sum(int(lines[name].split()[0]) for name in ("Dirty", "Writeback") if name in lines)


def settle(
    read: Callable[[], str] = MEMINFO.read_text,
    sleep: Callable[[float], None] = time.sleep,
    limit: float = _LIMIT,
    flush: Callable[[], None] = os.sync,
) -> bool:
    """Wait until less than 32 MiB are unwritten; whether that came within ``limit`` seconds.

    Left alone, the kernel keeps dirty pages for 30 s before it writes them (``dirty_expire_centisecs``);
    ``flush`` begins at once. Others on the machine may dirty pages faster than that.
    """
    flush()
    for _ in range(round(limit / _PAUSE)):
        if unwritten_kib(read()) < _CLEAN_KIB:
            return True
        sleep(_PAUSE)
    return False
