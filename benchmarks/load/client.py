"""Running ``load``: its options from a scenario's, its one line of JSON as values.

A run that did other work than asked (a refusal, bytes lost, a length missing) is ``Inexact``.
"""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.engine import Inexact
from benchmarks.scenario import Load

LIMIT = 1800.0
"""Seconds after which a run is hung: the longest, 20 GiB, takes minutes."""

_STALL = 120
"""Seconds without a byte after which the client gives up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client finds a server on the loopback interface."""

    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What the client says at its end; times in seconds.

    Attributes:
        handed_off: Answers that say the body came as a file.
        hold: How long the server behind was held, on average.
    """

    ok: int
    bad: int
    inexact: int
    coded: int
    handed_off: int
    seconds: float
    p50: float
    p99: float
    hold: float
    error: str

    def values(self) -> dict[str, float]:
        """As metrics of a sample."""
        return {"time": self.seconds, "p50": self.p50, "p99": self.p99, "hold": self.hold}


class Client:
    """A run of ``load``; ended by force with its ``with`` block where it has not ended before."""

    def __init__(self, program: Path, load: Load, place: Place, *, check: bool = False) -> None:
        self._load = load
        command = [str(program), *arguments(load, place, check=check)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self) -> None:
        """Begin no further request."""
        self._process.send_signal(signal.SIGTERM)

    @property
    def is_running(self) -> bool:
        """Whether it still sends."""
        return self._process.poll() is None

    def result(self) -> Report:
        """What it said, once it has ended.

        Raises:
            Inexact: Not everything went as it should.
        """
        try:
            told, complaint = self._process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired as late:
            raise Inexact(f"the client had not ended after {LIMIT:.0f} s") from late
        if self._process.returncode == -signal.SIGTERM:
            raise Inexact("it was ended before it had begun: what went on beside it is too short")
        if not told:
            raise Inexact(f"the client failed: {complaint.decode(errors='replace').strip()}")
        return approve(self._load, read_report(json.loads(told)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self._process.kill()
        self._process.communicate()


def send(program: Path, load: Load, place: Place, *, check: bool = False) -> Report:
    """Run it to its end.

    Raises:
        Inexact: Not everything went as it should.
    """
    with Client(program, load, place, check=check) as client:
        return client.result()


def arguments(load: Load, place: Place, *, check: bool) -> list[str]:
    """The command line for a load, without the program's name."""
    target = load.target
    if check and load.mode in ("up", "cl"):
        # The server behind hashes only what it is asked to.
        target += "?sum"
    words = ["-p", str(place.port), "-m", load.mode, "-u", target, "-t", str(_STALL)]
    words += ["-c", str(load.connections), "-n", str(load.requests)]
    words += ["-s", str(load.size), "-k", str(load.chunk)]
    words += [] if load.rate is None else ["-r", str(load.rate)]
    words += [] if load.ask_rate is None else ["-q", str(load.ask_rate)]
    words += ["-i", str(load.initial)] if load.initial else []
    words += ["-T"] if place.tls else []
    words += ["-x"] if check and load.mode != "trickle" else []
    return words


def read_report(told: dict[str, Any]) -> Report:
    """The client's JSON as values."""
    counts = {name: told[name] for name in ("ok", "bad", "inexact")}
    counts |= {"coded": told["te"], "handed_off": told["pf"]}
    times = {"seconds": told["wall"], "p50": told["p50"], "p99": told["p99"], "hold": told["hold"]}
    return Report(**counts, **times, error=told["error"])


def approve(load: Load, report: Report) -> Report:
    """The report as it is, if all that was asked was done, exactly.

    Raises:
        Inexact: It was not.
    """
    wanted = load.connections * (load.requests if load.mode != "trickle" else 1)
    wrong = report.bad + (0 if load.mode == "get" else report.inexact + report.coded)
    if wrong or report.inexact or report.ok < (wanted or 1):
        counts = f"{report.ok} of {wanted or 'any number'} requests right"
        raise Inexact(f"{counts}, {report.bad} failed, {report.inexact} not exact: {report.error}")
    return report
