"""How a participant does a scenario's work once: send, with everything it uses being watched.

One class for each driver that a scenario may name; the contest calls them by turns.
"""

import dataclasses
import time
from pathlib import Path

from benchmarks.engine import Inexact
from benchmarks.engine.contest import Sample
from benchmarks.engine.tree import cpu_at_rest, tree_pss
from benchmarks.engine.watch import PssWatch, Watch
from benchmarks.load.client import Client, Place, Report, send
from benchmarks.scenario import Load


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Whom to send to.

    Attributes:
        pid: Of the proxy, the root of its processes; None where there is none.
        program: The client's.
        hands_off: Whether the server behind has to get bodies as files.
    """

    name: str
    place: Place
    pid: int | None
    program: Path
    hands_off: bool = False


class LoadRun:
    """``load``: one run of the client."""

    def __init__(self, target: Target, load: Load) -> None:
        self.name = target.name
        self.pid = target.pid
        self._target = target
        self._load = load

    def prove(self) -> None:
        """The same with every byte stamped and hashed at both ends."""
        report = send(self._target.program, self._load, self._target.place, check=True)
        if self._target.hands_off and not report.handed_off:
            # Exact, but by another way than the one that is to be measured.
            raise Inexact("the body was sent, not handed off")

    def measure(self) -> Sample:
        """CPU and memory of the proxy, times of the client."""
        target = self._target
        if target.pid is None:
            return send(target.program, self._load, target.place).values()
        with Watch(target.pid) as watch:
            report = send(target.program, self._load, target.place)
        return report.values() | watch.values()


_HEAD_START = 0.3
"""Seconds that what goes on beside has begun before the first question."""


class BesideRun:
    """``beside``: questions for as long as uploads go on; their latency is what is measured."""

    def __init__(self, target: Target, questions: Load, uploads: Load) -> None:
        self.name = target.name
        self._target = target
        self._questions = questions
        self._uploads = uploads

    def prove(self) -> None:
        """The uploads alone, hashed where the client can; then one question."""
        send(self._target.program, self._uploads, self._target.place, check=True)
        once = dataclasses.replace(self._questions, connections=1, requests=1, ask_rate=None)
        send(self._target.program, once, self._target.place, check=True)

    def measure(self) -> Sample:
        """Latencies of the questions; seconds of the uploads; CPU and memory of the proxy for both."""
        assert self._target.pid is not None
        with Watch(self._target.pid) as watch:
            asked, sent = self._both()
        return asked.values() | {"time": sent.seconds, "complete": float(sent.ok)} | watch.values()

    def _both(self) -> tuple[Report, Report]:
        program, place = self._target.program, self._target.place
        with Client(program, self._uploads, place) as uploads:
            time.sleep(_HEAD_START)
            with Client(program, self._questions, place) as questions:
                sent = uploads.result()
                questions.end()
                return questions.result(), sent


_IDLE = 2.0
"""Seconds after its start in which a server may still tidy up."""


class MemoryRun:
    """``memory``: PSS at rest, then during a small body and during a large one."""

    def __init__(self, target: Target, small: Load, large: Load) -> None:
        self.name = target.name
        self._target = target
        self._small = small
        self._large = large
        self._idle = 0.0
        if target.pid is not None:
            time.sleep(_IDLE)
            # Before the first request, as it is after a start.
            self._idle = float(tree_pss(target.pid))

    def prove(self) -> None:
        """The small body, hashed."""
        send(self._target.program, self._small, self._target.place, check=True)

    def measure(self) -> Sample:
        """``growth`` is what the large body takes above the small one."""
        small, large = self._peak(self._small), self._peak(self._large)
        return {"idle": self._idle, "small": small, "memory": large, "growth": large - small}

    def _peak(self, load: Load) -> float:
        assert self._target.pid is not None
        with PssWatch(self._target.pid) as watch:
            send(self._target.program, load, self._target.place)
        cpu_at_rest(self._target.pid)
        return float(watch.peak)
