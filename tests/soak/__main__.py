"""``python -m tests.soak --minutes 20``: run mixed traffic with faults, and see that all is back at its end.

Prints a table of what the shim held before and after, and what came of the visits; writes it to docs/soak.md.
Exit status 0 when nothing was violated and all is back, 1 when not; then the logs are kept.
"""

import argparse
import platform
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from shim.demo.environment import ensure_environment
from tests.integration.running import run_shim
from tests.matrix.tables import as_markdown, put_between
from tests.soak.backend import Backend
from tests.soak.holdings import Holdings, judge, table
from tests.soak.troubles import Troubles
from tests.soak.visits import OK, VISITS, Hang, Violation, World
from tests.support.building import compiler
from tests.support.faulty_disk import FaultyDisk
from tests.support.shim import Shim
from tests.support.wire import eventually

PAGE = Path(__file__).parents[2] / "docs/soak.md"
NAME = "make soak"
"""Of the markers in it."""

WORKERS = 3
BUDGET = 256 << 20
SETTINGS: dict[str, object] = {
    "server__workers": WORKERS,
    "spool__max_total": BUDGET,
    "spool__max_body": "256MiB",
    "spool__memory_limit": "64KiB",
    "timeouts__body_idle": "20s",
    "timeouts__drain": "20s",
    "timeouts__cut_through_stall": "10s",
    # As it is by default: a server that starts again is waited for.
    "timeouts__connect_retry": None,
}
WARM_UP = 30.0
SETTLE = 60.0


class Traffic:
    """Visitors, so many at once, that together make so many visits a second.

    Attributes:
        counts: By kind of visit and what came of it.
        violations: What must never be.
    """

    def __init__(self, world: World, rate: float, visitors: int, troubles: Troubles | None = None) -> None:
        self._world = world
        self._troubles = troubles
        self._pause = visitors / rate
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.violations: list[str] = []
        self._threads = [
            threading.Thread(target=self._visit_on, args=(random.Random(number),), name=f"visitor-{number}")
            for number in range(visitors)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Returns when the last visit has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _visit_on(self, chance: random.Random) -> None:
        kinds, weights = list(VISITS), list(VISITS.values())
        while not self._over.wait(chance.uniform(0, 2 * self._pause)):
            (visit,) = chance.choices(kinds, weights)
            began = time.monotonic()
            try:
                outcome = visit(self._world, chance)
            except (Violation, Hang) as violation:
                outcome = type(violation).__name__
                self._complain(f"{visit.__name__}: {violation}")
            if outcome != OK and self._was_quiet_since(began):
                self._complain(f"{visit.__name__}: {outcome}, though nothing was wrong")
            with self._lock:
                self.counts[visit.__name__, outcome] += 1

    def _was_quiet_since(self, began: float) -> bool:
        return self._troubles is None or self._troubles.was_quiet_since(began)

    def _complain(self, text: str) -> None:
        with self._lock:
            self.violations.append(f"{datetime.now(UTC):%H:%M:%S} {text}")
        _say(self.violations[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    given = _parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="glance-shim-soak-"))
    with ExitStack() as stack:
        backend = stack.enter_context(Backend(folder / "behind", ensure_environment()))
        disk = _faulty_disk(folder)
        shim = run_shim(
            folder,
            None,
            environment=disk.environment if disk else {},
            upstreams__glance__servers=[backend.url],
            upstreams__glance__stats=str(backend.stats),
            **SETTINGS,
        )
        stack.enter_context(shim)
        page, faults = soak(shim, backend, disk, given)
    faults += [f"the log: {line}" for line in shim.complaints()]
    _say(page)
    if faults:
        _say("\n".join(["", f"{len(faults)} faults; the logs are in {folder}", *faults]))
        return 1
    if given.output:
        PAGE.write_text(put_between(PAGE.read_text(), NAME, page))
    shutil.rmtree(folder)
    return 0


def soak(
    shim: Shim, backend: Backend, disk: FaultyDisk | None, given: argparse.Namespace
) -> tuple[str, list[str]]:
    """The soak itself: its page, and what was wrong."""
    world = World(shim.port, backend.images)
    _say(f"warming up for {WARM_UP:.0f} s …")
    with Traffic(world, given.rate, given.visitors) as warm_up:
        time.sleep(WARM_UP)
    before = _at_rest(shim)
    _say(f"{given.minutes:g} minutes of {given.rate:g} visits a second …")
    troubles = Troubles(shim, backend, disk, given.trouble)
    began = time.monotonic()
    with Traffic(world, given.rate, given.visitors, troubles) as traffic:
        troubles.run(given.minutes * 60)
    minutes = (time.monotonic() - began) / 60
    # Like with like: workers that are new have not begun their threads.
    with Traffic(world, given.rate, given.visitors, troubles) as cool_down:
        time.sleep(WARM_UP)
    after = _at_rest(shim)
    violations = warm_up.violations + traffic.violations + cool_down.violations
    faults = violations + judge(before, after, WORKERS)
    circumstances = (
        f"{datetime.now(UTC):%Y-%m-%d}, {minutes:.1f} minutes, {traffic.counts.total()} visits by "
        f"{given.visitors} at once, {WORKERS} workers; Python {platform.python_version()}, uWSGI behind."
    )
    parts = [
        circumstances,
        as_markdown(table([("before", before), ("after", after)])),
        as_markdown(_visits_table(traffic.counts)),
        as_markdown([("what went wrong", "times"), *((name, str(n)) for name, n in troubles.counts.items())]),
        f"Violations: {len(faults) or 'none'}.",
    ]
    return "\n\n".join(parts), faults


def _at_rest(shim: Shim) -> Holdings:
    """A reading when nothing is under way, and as many workers are there as there should be."""
    reasons = ""

    def is_ready() -> bool:
        nonlocal reasons
        answer = shim.admin("/readyz")
        reasons = answer.body.decode()
        return answer.status == 200

    try:
        eventually(is_ready, "it is ready", SETTLE)
    except Hang as hang:
        hang.add_note(reasons)
        raise
    eventually(lambda: len(shim.family()) == WORKERS + 1, "the workers of before have gone", SETTLE)
    shim.await_rest(SETTLE)
    # Descriptors of connections that have just ended.
    time.sleep(3)
    return Holdings.of(shim, BUDGET)


def _visits_table(counts: Counter[tuple[str, str]]) -> list[tuple[str, ...]]:
    rows = [("visit", "as it should be", "in trouble")]
    for kind in VISITS:
        name = kind.__name__
        troubled = {outcome: number for (what, outcome), number in counts.items() if what == name}
        fine = troubled.pop(OK, 0)
        told = ", ".join(
            f"{number} {outcome.removeprefix('trouble ')}" for outcome, number in sorted(troubled.items())
        )
        rows.append((name.replace("_", " "), str(fine), told or "-"))
    return rows


def _faulty_disk(folder: Path) -> FaultyDisk | None:
    if compiler() is None:
        _say("SKIPPED: faults of the disk: no C compiler (Debian: gcc, libc6-dev)")
        return None
    return FaultyDisk(folder, folder / "spool")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long")
    parser.add_argument("--rate", type=float, default=20, help="visits a second")
    parser.add_argument("--visitors", type=int, default=12, help="of them at once")
    parser.add_argument("--trouble", action="append", help="make only this kind of it; may be repeated")
    parser.add_argument("--no-output", dest="output", action="store_false", help="leave docs/soak.md alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
