"""Descriptors and memory of this machine against what the options allow.

Both are looked at as this process has them: a service may be given others, and the findings say so.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

from shim.config.settings import Settings
from shim.doctor import told_size
from shim.findings import Finding, Level
from shim.timing import UNLIMITED

# Beside connections and bodies: listeners, logs, epolls, idle connections to servers.
SPARE_DESCRIPTORS = 100
# An upload has its spool file, the server's connection, and that of the answer's other end.
UPLOAD_DESCRIPTORS = 3
# Measured: 54 to 59 MiB each, whatever the size of bodies (docs/benchmarks.md).
WORKER_MEMORY = 60 * 1024 * 1024

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def inspect_machine(settings: Settings) -> Iterator[Finding]:
    """All findings about descriptors and memory, as they are now."""
    # ``serve`` raises the soft limit to the hard one.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_descriptors(settings, hard)
    memory = available_memory()
    if memory is not None:
        yield judge_memory(settings, memory)


def judge_descriptors(settings: Settings, most: int) -> Finding:
    """Whether a process may open as many descriptors (its hard limit) as the options let clients ask for."""
    limits = settings.limits
    needed = limits.max_connections + UPLOAD_DESCRIPTORS * limits.max_uploads + SPARE_DESCRIPTORS
    if most == resource.RLIM_INFINITY or needed <= most:
        return Finding(Level.FINE, f"{_told_limit(most)} descriptors, {needed:g} may be needed")
    if needed == UNLIMITED:
        text = f"{most} descriptors, and no limit of connections or uploads: the last ones meet a closed door"
        return Finding(Level.WARNING, text, f"limits.max_connections = {max(most // 4, 1)}")
    text = (
        f"{most} descriptors here, {needed:g} may be needed (limits.max_connections, and three for each of "
        "limits.max_uploads): beyond them connections and uploads fail. A service has a limit of its own"
    )
    raising = f"LimitNOFILE={_round_up(int(needed))} in the unit, or ulimit -Hn {int(needed)} as root"
    return Finding(Level.WARNING, text, raising)


def judge_memory(settings: Settings, available: int) -> Finding:
    """Whether small bodies and processes fit into ``available`` bytes."""
    uploads, each = settings.limits.max_uploads, settings.spool.memory_limit
    bodies = uploads * each if each else 0
    needed = bodies + settings.server.workers * WORKER_MEMORY
    if needed <= available:
        return Finding(Level.FINE, f"{told_size(available)} available, {told_size(needed)} may be needed")
    if needed == UNLIMITED:
        return Finding(
            Level.WARNING,
            "no limit of uploads, so none of the memory that small bodies use",
            f"limits.max_uploads = {max(available // 2 // each, 1)}",
        )
    text = (
        f"{told_size(available)} available, {told_size(needed)} may be needed: limits.max_uploads times "
        "spool.memory_limit, and 60 MiB a worker"
    )
    return Finding(Level.WARNING, text, 'spool.memory_limit = "64KiB", or a lower limits.max_uploads')


def available_memory(memory: Path = _MEMORY, group: Path = _GROUP, groups: Path = _GROUPS) -> int | None:
    """Bytes that this process may still use, by the machine or its control group; None: not visible."""
    known = [size for size in (_machine_memory(memory), _group_memory(group, groups)) if size is not None]
    return min(known, default=None)


_FILE_PAGES = ("active_file ", "inactive_file ")


def _machine_memory(memory: Path) -> int | None:
    try:
        lines = memory.read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _group_memory(group: Path, groups: Path) -> int | None:
    """What the control group (version 2) leaves; "max" and version 1 say nothing."""
    try:
        name = group.read_text("utf-8").splitlines()[-1].removeprefix("0::/")
        limit = int((groups / name / "memory.max").read_text("ascii"))
        used = int((groups / name / "memory.current").read_text("ascii"))
        # Pages of files count as used, and are taken back when somebody needs the room.
        lines = (groups / name / "memory.stat").read_text("ascii").splitlines()
        pages = sum(int(line.split()[1]) for line in lines if line.startswith(_FILE_PAGES))
        return max(limit - used + pages, 0)
    except (OSError, ValueError, IndexError):
        return None


def _told_limit(most: int) -> str:
    return "any number of" if most == resource.RLIM_INFINITY else str(most)


def _round_up(number: int) -> int:
    """The next power of two: limits are written so."""
    return 1 << (number - 1).bit_length()
