"""CPU seconds and memory of a process and all its descendants, read from /proc (proc(5)).

A proxy's work is done by workers, threads and helpers that may end in between: what counts is the whole tree,
with the times of children that have ended and were waited for.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

# Fields of stat, counted after the name, which may hold spaces: proc(5) counts from 1 and has two before.
_PARENT = 1
_TIMES = slice(11, 15)

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds that a tree of processes has used since it began."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.user + self.system

    def since(self, before: "Cpu") -> "Cpu":
        """What was used after ``before``."""
        return Cpu(self.user - before.user, self.system - before.system)


def read_stats(proc: Path = PROC) -> dict[int, list[str]]:
    """By process id, what stands in ``stat`` after the name; of processes that can be read."""
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            found[int(entry.name)] = text.rpartition(")")[2].split()
    return found


def family(pid: int, stats: dict[int, list[str]]) -> list[int]:
    """The process and its descendants, of those in ``stats``."""
    children: dict[int, list[int]] = {}
    for child, fields in stats.items():
        children.setdefault(int(fields[_PARENT]), []).append(child)
    members = [pid] if pid in stats else []
    for member in members:
        members += children.get(member, [])
    return members


def tree_cpu(pid: int, proc: Path = PROC, ticks: int | None = None) -> Cpu:
    """utime, stime, cutime and cstime of the whole tree.

    Args:
        pid: Its root.
        proc: Where /proc is.
        ticks: Of the clock in a second; by default this system's.
    """
    stats = read_stats(proc)
    second = ticks or os.sysconf("SC_CLK_TCK")
    times = [[int(field) for field in stats[member][_TIMES]] for member in family(pid, stats)]
    user = sum(own + ended for own, _, ended, _ in times)
    system = sum(own + ended for _, own, _, ended in times)
    return Cpu(user / second, system / second)


def tree_pss(pid: int, proc: Path = PROC) -> int:
    """Proportional set size in bytes: pages that several processes share are divided among them."""
    return _sum_of_field(pid, proc, "smaps_rollup", "Pss:")


def tree_high_water(pid: int, proc: Path = PROC) -> int:
    """Sum of the peaks of the resident sets in bytes; counts shared pages more than once."""
    return _sum_of_field(pid, proc, "status", "VmHWM:")


def reset_high_water(pid: int, proc: Path = PROC) -> None:
    """Let the peaks of the resident sets begin anew (clear_refs, value 5)."""
    for member in family(pid, read_stats(proc)):
        try:
            (proc / str(member) / "clear_refs").write_text("5")
        except OSError:
            # Somebody else's process (Apache's workers give up root): the peak is then since its start.
            continue


def _sum_of_field(pid: int, proc: Path, name: str, field: str) -> int:
    total = 0
    for member in family(pid, read_stats(proc)):
        try:
            text = (proc / str(member) / name).read_text()
        except OSError:
            continue
        total += int(text.partition(field)[2].split()[0]) * _KIB if field in text else 0
    return total


# -- at rest ----------------------------------------------------------------------------------------------

_STEADY = 0.3
_TICK = 0.011
"""Seconds within ``_STEADY`` that a process at rest may use: a timer's work, one tick of the clock."""


def cpu_at_rest(
    pid: int,
    limit: float = 20.0,
    read: Callable[[int], Cpu] = tree_cpu,
    sleep: Callable[[float], None] = time.sleep,
) -> Cpu:
    """The tree's CPU time once it no longer grows, at the latest after ``limit`` seconds.

    Unlinking a spool file of a gibibyte takes CPU after the answer has gone out.
    """
    before = read(pid)
    for _ in range(round(limit / _STEADY)):
        sleep(_STEADY)
        after = read(pid)
        if after.total - before.total <= _TICK:
            return after
        before = after
    return before
