"""What a shim holds: processes, descriptors, threads, memory, bodies, leases, slots; and whether all is back.

Reading is the kernel's and the admin listener's affair; the judgement is a pure function of two readings.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.client import Client, head
from tests.support.shim import Shim

MIB = 1 << 20
# A worker that stands in for another has loaded the same code, but has another past: caches, threads begun.
SLACK = {"descriptors": 2.0, "threads": 8.0, "memory, MiB": 24.0}
"""How much more each worker may hold at the end; of all else nothing may be more or less."""


@dataclass(frozen=True)
class Holdings:
    """A reading: figures by name."""

    figures: Mapping[str, float]

    @classmethod
    def of(cls, shim: Shim, budget: int) -> "Holdings":
        """Read them; ``budget`` is ``spool.max_total`` in bytes."""
        family = [pid for pid in shim.family() if Path(f"/proc/{pid}").exists()]
        held = shim.holdings()
        return cls({
            "processes": len(family),
            "descriptors": sum(_count(Path(f"/proc/{pid}/fd")) for pid in family),
            "threads": sum(_count(Path(f"/proc/{pid}/task")) for pid in family),
            "memory, MiB": round(sum(map(_memory, family)) / MIB, 1),
            "bodies: bytes": held["spool_bytes"],
            "bodies: files": held["spool_files"],
            "spool: open files": held["open files"],
            "spool: names": sum(1 for _ in shim.spool.iterdir()),
            "uploads": held["uploads"],
            "in servers": held["upstream_inflight"],
            "in line": shim.metric("queue_length"),
            "free to lease, MiB": _leasable(shim, budget) / MIB,
        })  # fmt: skip


def judge(before: Holdings, after: Holdings, workers: int) -> list[str]:
    """What is not back where it began, in words."""
    return [
        f"{name}: {held:g} before, {after.figures[name]:g} after"
        for name, held in before.figures.items()
        if not _is_back(name, held, after.figures[name], workers)
    ]


def _is_back(name: str, before: float, after: float, workers: int) -> bool:
    return after <= before + SLACK[name] * workers if name in SLACK else after == before


def table(readings: Sequence[tuple[str, Holdings]]) -> list[tuple[str, ...]]:
    """Rows for a page: a column for each reading."""
    figures = (
        (name, *(f"{reading.figures[name]:g}" for _, reading in readings)) for name in readings[0][1].figures
    )
    return [("held", *(name for name, _ in readings)), *figures]


def _leasable(shim: Shim, budget: int) -> int:
    """Whether a body as large as the budget is let in: only if no byte of it is leased."""
    with Client(("127.0.0.1", shim.port)) as client:
        expect = (f"Content-Length: {budget}", "Expect: 100-continue")
        client.send(head("PUT", "/lease", *expect))
        status, *_ = client.head()
    shim.await_rest()
    return budget if status == 100 else 0


def _count(place: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in place.iterdir())
    return 0


def _memory(pid: int) -> int:
    """Its proportional share, in bytes: pages of a supervisor and its workers are common."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
