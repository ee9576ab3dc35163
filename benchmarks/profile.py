"""Where the shim's CPU time goes: user and system seconds, and what perf sees, beside the C program's.

``limit.c`` does what any proxy that spools has to do; what the shim takes beyond it is its own.
"""

import datetime as dt
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arena import open_arena
from benchmarks.engine.contest import Participant
from benchmarks.engine.settling import settle
from benchmarks.engine.tree import family, read_stats
from benchmarks.load.building import Programs
from benchmarks.participants import LoadRun
from benchmarks.scenario import Scenario, load_all

SIZE = 1024**3
SCENARIOS = ("chunks-64k", "chunks-1m")
PARTICIPANTS = ("shim", "c-limit")
RUNS = 5
_FREQUENCY = 1997
_MOST_SYMBOLS = 14
_LEAST_PERCENT = 0.8

Rows = list[list[str]]
Shares = dict[tuple[str, str], float]
"""Percent of the time, by group and symbol."""

_LINE = re.compile(r"^\s*([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(.+?)\s*$")


def measure(programs: Programs, directory: Path, size: int) -> dict[str, Any]:
    """All that the document's part on it holds."""
    perf = find_perf()
    how = (
        f"perf at {_FREQUENCY} Hz over {RUNS} uploads, shares multiplied by the CPU seconds of an upload."
        if perf
        else "perf is not usable here (Debian: apt-get install linux-perf; kernel.perf_event_paranoid), "
        "so only user and system seconds are told."
    )
    scenarios = {}
    for scenario in load_all():
        if scenario.name in SCENARIOS:
            changed = replace(
                scenario.among(PARTICIPANTS), load=replace(scenario.load, size=size), targets=()
            )
            title = scenario.title if size == scenario.load.size else f"{scenario.title} (size changed)"
            scenarios[title] = _measure_scenario(changed, programs, directory, perf)
    return {"day": dt.date.today().isoformat(), "how": how, "scenarios": scenarios}  # noqa: DTZ011 - where it ran


def find_perf() -> str | None:
    """The perf command, if this kernel lets us use it."""
    perf = shutil.which("perf")
    if perf is None:
        return None
    tried = [perf, "record", "-o", "/dev/null", "-F", "99", "--", "true"]
    return perf if not subprocess.run(tried, capture_output=True, check=False).returncode else None


def _measure_scenario(
    scenario: Scenario, programs: Programs, directory: Path, perf: str | None
) -> dict[str, Rows]:
    seconds: dict[str, dict[str, float]] = {}
    shares: dict[str, Shares] = {}
    with open_arena(scenario, programs, directory) as arena:
        for participant in arena.participants:
            participant.prove()
            seconds[participant.name] = _average(participant)
            if perf and isinstance(participant, LoadRun):
                shares[participant.name] = _record(perf, participant, directory)
    parts = {"CPU seconds of an upload": split_rows(seconds)}
    if len(shares) == len(PARTICIPANTS):
        parts["By part, CPU seconds of an upload"] = group_rows(shares, seconds)
        parts["The shim's largest items"] = symbol_rows(shares["shim"], seconds["shim"]["cpu"])
    return parts


def _average(participant: Participant) -> dict[str, float]:
    samples = []
    for _ in range(RUNS):
        settle()
        samples.append(participant.measure())
    return {
        key: sum(sample[key] for sample in samples) / RUNS
        for key in ("cpu", "cpu_user", "cpu_system", "time")
    }


def _record(perf: str, participant: LoadRun, directory: Path) -> Shares:
    """What perf sees of the participant's processes during further uploads."""
    assert participant.pid is not None
    data = directory / f"glance-shim-perf-{participant.pid}.data"
    members = ",".join(map(str, family(participant.pid, read_stats())))
    command = [perf, "record", "-q", "-F", str(_FREQUENCY), "-o", str(data), "-p", members]
    try:
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recording:
            for _ in range(RUNS):
                participant.measure()
            recording.send_signal(signal.SIGINT)
        told = subprocess.run(
            [
                perf,
                "report",
                "-i",
                data,
                "--stdio",
                "--no-children",
                "-F",
                "overhead,dso,symbol",
                "-w",
                "0,0,0",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return read_report(told.stdout)
    finally:
        data.unlink(missing_ok=True)


# -- from perf's words to rows ----------------------------------------------------------------------------


def read_report(told: str) -> Shares:
    """Percent by group and symbol, of what ``perf report --stdio`` prints."""
    shares: Shares = {}
    for line in told.splitlines():
        if match := _LINE.match(line):
            key = (group_of(match[2], match[3]), match[4])
            shares[key] = shares.get(key, 0.0) + float(match[1])
    return shares


def group_of(library: str, level: str) -> str:
    """What a line of the report belongs to; ``level`` is ``k`` in the kernel."""
    if level == "k":
        return "kernel"
    for group, mark in (
        ("uvloop", "loop."),
        ("Python", "python"),
        ("OpenSSL", "libcrypto"),
        ("libc", "libc"),
    ):
        if mark in library:
            return group
    return "other"


def split_rows(seconds: Mapping[str, Mapping[str, float]]) -> Rows:
    """User and system of each."""
    head = ["participant", "CPU", "user", "system", "wall time"]
    keys = ("cpu", "cpu_user", "cpu_system", "time")
    return [head, *([name, *(f"{values[key]:.3f}" for key in keys)] for name, values in seconds.items())]


def group_rows(shares: Mapping[str, Shares], seconds: Mapping[str, Mapping[str, float]]) -> Rows:
    """Seconds by group, of the shim and of the C program, and the difference."""
    spent = {name: _by_group(shares[name], seconds[name]["cpu"]) for name in PARTICIPANTS}
    groups = sorted({*spent["shim"], *spent["c-limit"]}, key=lambda group: -spent["shim"].get(group, 0.0))
    rows = [["part", *PARTICIPANTS, "over the limit"]]
    for group in groups:
        ours, least = spent["shim"].get(group, 0.0), spent["c-limit"].get(group, 0.0)
        rows.append([group, f"{ours:.3f}", f"{least:.3f}", f"{ours - least:+.3f}"])
    return rows


def _by_group(shares: Shares, cpu: float) -> dict[str, float]:
    total = sum(shares.values()) or 1.0
    spent: dict[str, float] = {}
    for (group, _), percent in shares.items():
        spent[group] = spent.get(group, 0.0) + cpu * percent / total
    return spent


def symbol_rows(shares: Shares, cpu: float) -> Rows:
    """The largest single functions."""
    largest: Iterable[tuple[tuple[str, str], float]] = sorted(shares.items(), key=lambda item: -item[1])
    rows = [["share", "seconds", "part", "function"]]
    for (group, symbol), percent in list(largest)[:_MOST_SYMBOLS]:
        if percent >= _LEAST_PERCENT:
            rows.append([f"{percent:.1f} %", f"{cpu * percent / 100:.3f}", group, f"`{symbol}`"])
    return rows
