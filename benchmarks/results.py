"""Results as JSON: samples, verdicts and circumstances; no paths, no names of machines.

What is published lies in ``results.json`` beside this file; document and plots are made of it alone.
"""

import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.contest import Outcome
from benchmarks.engine.verdict import Row
from benchmarks.peers.kinds import APACHE, CADDY, HAPROXY, NGINX
from benchmarks.scenario import Scenario
from shim.bench.statistics import Spread

PUBLISHED = Path(__file__).with_name("results.json")

Results = dict[str, Any]
"""The whole document: ``profile``, and ``scenarios`` by name."""


def as_result(
    scenario: Scenario, outcome: Outcome, rows: Iterable[Row], absent: Mapping[str, str], notes: Iterable[str]
) -> dict[str, Any]:
    """One scenario's part."""
    return {
        "title": scenario.title,
        "means": scenario.means,
        "samples": outcome.samples,
        "void": outcome.void,
        "absent": dict(absent),
        "notes": list(notes),
        "unsettled": outcome.unsettled,
        "rows": [_as_row(row) for row in rows],
    }


def _as_row(row: Row) -> dict[str, Any]:
    target = row.target
    return {
        "metric": target.metric,
        "of": target.of,
        "against": target.against,
        "at_most": target.at_most,
        "verdict": row.verdict.value,
        "spread": _as_list(row.spread),
        "noise": _as_list(row.noise),
        "reason": row.reason,
    }


def _as_list(spread: Spread | None) -> list[float] | None:
    """Median, smallest, largest, count."""
    return None if spread is None else [spread.median, spread.low, spread.high, spread.count]


def circumstances(directory: Path) -> dict[str, Any]:
    """Where and with what it was measured."""
    return {
        "day": dt.date.today().isoformat(),  # noqa: DTZ011 - the day where it was run
        "cores": os.cpu_count(),
        "processor": _processor(),
        # Without the name that somebody gave his own.
        "kernel": re.split("[^0-9.]", platform.release())[0],
        "filesystem": filesystem(directory, Path("/proc/self/mountinfo").read_text()),
        "versions": versions(),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def filesystem(directory: Path, mountinfo: str) -> str:
    """The type of the file system that ``directory`` is on (proc(5), mountinfo)."""
    best, kind = "", "unknown"
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if directory.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def versions() -> dict[str, str]:
    """Of all that takes part, as each says of itself."""
    found = {"glance-shim": importlib.metadata.version("glance-shim"), "Python": platform.python_version()}
    asked = (
        ("nginx", NGINX, "-v"),
        ("Apache", APACHE, "-v"),
        ("HAProxy", HAPROXY, "-v"),
        ("Caddy", CADDY, "version"),
    )
    for name, program, option in asked:
        if program.exists():
            told = subprocess.run([program, option], capture_output=True, text=True, check=False)
            number = re.search(r"\d+(?:\.\d+)+", told.stdout + told.stderr)
            found[name] = number[0] if number else "unknown"
    return found


# -- files ------------------------------------------------------------------------------------------------


def read(file: Path) -> Results:
    """What a file holds; nothing where there is none."""
    if not file.exists():
        return {"scenarios": {}}
    results: Results = json.loads(file.read_text())
    return results


def write(file: Path, results: Results) -> None:
    """Replace a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
