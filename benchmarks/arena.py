"""Everything that a scenario needs, started and ended: the server behind, and each participant before it.

All participants of a scenario run throughout, before the same server; only one of them is sent to at a time.
"""

import contextlib
import dataclasses
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.engine import NotMeasured
from benchmarks.engine.contest import Participant
from benchmarks.load.building import Programs
from benchmarks.load.client import Place
from benchmarks.participants import BesideRun, LoadRun, MemoryRun, Target
from benchmarks.peers.kinds import Limit, Own, Straight, kind_of
from benchmarks.peers.starting import Behind, Running, start_limit, start_own, start_peer, start_sink
from benchmarks.peers.tls import Certificate, make_certificate
from benchmarks.scenario import Load, Scenario

_FILES = 65536
"""Open files that a process may have, as a service's unit sets it: 500 slow uploads need 1500."""

_SMALL_BODY = 256 * 1024**2
_SPACE_LEFT = 4 * 1024**3
_RESERVE = 0.06
"""Share of the disk that the largest body leaves alone: a little more than ``spool.min_free``."""


@dataclasses.dataclass
class Arena:
    """A scenario set up.

    Attributes:
        participants: Who is there.
        absent: Who is not, and why.
        notes: What is otherwise than the scenario's file has it.
    """

    participants: list[Participant]
    absent: dict[str, str]
    notes: list[str]


def allow_many_files() -> None:
    """Raise the limit of open files for us and for all that we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder on the disk that is meant, which Apache's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="glance-shim-bench-", dir=parent))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def open_arena(scenario: Scenario, programs: Programs, parent: Path) -> Iterator[Arena]:
    """Start what the scenario names; end it with the block.

    Raises:
        DemoError: The server behind did not start.
        NotMeasured: The whole scenario cannot be had here.
    """
    with temporary_folder(parent) as folder, contextlib.ExitStack() as stack:
        scenario, notes = fit_to_disk(scenario, shutil.disk_usage(folder))
        opener = _Opener(scenario, programs, folder, stack)
        arena = Arena([], {}, notes)
        for name in scenario.participants:
            try:
                arena.participants.append(opener.open(name))
            except NotMeasured as reason:
                arena.absent[name] = str(reason)
        yield arena


class _Opener:
    """Starts participants one by one."""

    def __init__(
        self, scenario: Scenario, programs: Programs, folder: Path, stack: contextlib.ExitStack
    ) -> None:
        self._scenario = scenario
        self._programs = programs
        self._folder = folder
        self._stack = stack
        self._behind = self._start_sink("behind", scenario.drain)
        # For the client alone: a server that is not the slow one.
        self._open = self._behind if scenario.drain is None else self._start_sink("open", None)
        self._certificate: Certificate | None = make_certificate(folder)

    def _start_sink(self, name: str, drain: int | None) -> Behind:
        behind, service = start_sink(self._programs, self._folder, name, drain)
        self._stack.enter_context(service)
        return behind

    def open(self, name: str) -> Participant:
        kind = kind_of(name)
        if kind.tls and not self._programs.speaks_tls:
            raise NotMeasured("the client speaks no TLS (Debian: apt-get install libssl-dev)")
        if isinstance(kind, Straight):
            behind = self._behind if kind.drained else self._open
            load = self._scenario.load if kind.paced else dataclasses.replace(self._scenario.load, rate=None)
            return LoadRun(Target(name, Place(behind.http), None, self._programs.load), load)
        running = self._start(name)
        self._stack.enter_context(running.service)
        hands_off = isinstance(kind, Own) and kind.hands_off
        target = Target(name, running.place, running.service.pid, self._programs.load, hands_off)
        return DRIVERS[self._scenario.driver](target, self._scenario)

    def _start(self, name: str) -> Running:
        kind, folder = kind_of(name), self._folder / name
        if isinstance(kind, Own):
            return start_own(kind, folder, self._behind, self._certificate)
        if isinstance(kind, Limit):
            return start_limit(self._programs, folder, self._behind)
        assert not isinstance(kind, Straight)
        return start_peer(kind, folder, self._behind, self._certificate)


# -- who runs what ----------------------------------------------------------------------------------------


def _load_run(target: Target, scenario: Scenario) -> Participant:
    return LoadRun(target, scenario.load)


def _beside_run(target: Target, scenario: Scenario) -> Participant:
    assert scenario.beside is not None
    return BesideRun(target, scenario.load, scenario.beside)


def _memory_run(target: Target, scenario: Scenario) -> Participant:
    small = dataclasses.replace(scenario.load, size=min(_SMALL_BODY, scenario.load.size // 2))
    return MemoryRun(target, small, scenario.load)


DRIVERS: dict[str, Callable[[Target, Scenario], Participant]] = {
    "load": _load_run,
    "beside": _beside_run,
    "memory": _memory_run,
}


def fit_to_disk(scenario: Scenario, disk: shutil._ntuple_diskusage) -> tuple[Scenario, list[str]]:
    """The scenario with bodies that this disk holds, and what had to be made smaller for it."""
    room = int(disk.free - disk.total * _RESERVE) - _SPACE_LEFT
    load = scenario.load
    if load.mode not in ("up", "cl") or load.size * load.connections <= room:
        return scenario, []
    mebibytes = max(room // load.connections // 1024**2, 1)
    smaller: Load = dataclasses.replace(load, size=mebibytes * 1024**2)
    note = f"bodies of {mebibytes} MiB instead of {load.size // 1024**2} MiB: the disk has no more room"
    return dataclasses.replace(scenario, load=smaller), [note]
