"""Making a virtual environment and filling it, with progress for a person and errors that say what to do.

``environment`` decides whether this is needed at all, and marks the result as finished.
"""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shim.demo import DemoError
from shim.demo.interpreters import choose_python
from shim.demo.packages import Installer, installers
from shim.demo.processes import Process
from shim.timing import Seconds

Report = Callable[[str], None]

# A slow line needs minutes for some 40 MB; the installers' own timeouts find a dead one sooner.
INSTALL_LIMIT: Seconds = 1800.0
_VENV_LIMIT: Seconds = 300.0
_POLL: Seconds = 0.5
_PROGRESS_STEP = 25

# What uv says when a stage is over -> what a person is told of its packages.
_STAGES = {"Resolved": "packages found; fetching them", "Prepared": "packages fetched; unpacking them"}
_STAGE = re.compile(rf"(?P<name>{'|'.join(_STAGES)}) (?P<count>\d+) packages? in ")

# What the log may hold -> what it means for a person; the first that fits is told.
_MEANINGS = (
    (
        ("name resolution", "NewConnectionError", "establish a new connection", "Network is unreachable"),
        "no package index can be reached: check the network; pip may need HTTPS_PROXY or PIP_INDEX_URL",
    ),
    (
        ("Read timed out", "ConnectTimeout", "Connection to"),
        "the package index does not answer in time: try again, or set PIP_DEFAULT_TIMEOUT",
    ),
    (("CERTIFICATE_VERIFY_FAILED",), "the package index' certificate is not trusted: set PIP_CERT"),
    (("No space left on device",), "the disk is full: some 400 MB are needed"),
    (
        ("Could not find a version", "No matching distribution"),
        "the package index lacks a package at the version wanted",
    ),
    (
        ("Failed building wheel", "Failed to build"),
        "a package had to be compiled: there are wheels for Python 3.11 to 3.13 on x86-64 and arm64",
    ),
)


def install(
    directory: Path, packages: Sequence[str], constraints: Path, *, log: Path, report: Report
) -> None:
    """Make a new virtual environment in ``directory``, instead of what is there, and install into it.

    Raises:
        DemoError: It did not work; the text says why as far as the installers' log tells.
    """
    python = choose_python()
    if python == Path(sys.executable) and importlib.util.find_spec("ensurepip") is None:
        raise DemoError(
            "this Python cannot make virtual environments: its ensurepip module is missing "
            "(Debian and Ubuntu: apt-get install python3-venv)"
        )
    log.unlink(missing_ok=True)
    _make_environment(directory, python, log)
    _fill(directory, packages, constraints, log, report)


def explain(output: str) -> str:
    """What the output of uv and pip means for a person."""
    for signs, meaning in _MEANINGS:
        if any(sign in output for sign in signs):
            return meaning
    return "uv and pip failed"


def tell_progress(output: str, expected: int) -> list[str]:
    """What a person is told of an installer's output so far, line by line.

    Args:
        output: Of uv, of pip, or of one after the other.
        expected: How many packages there are in all, roughly.
    """
    told, collected = [], 0
    for line in output.splitlines():
        if line.startswith("Collecting "):
            collected += 1
            if collected % _PROGRESS_STEP == 0:
                told.append(f"  {collected} of about {expected} packages found")
        elif line.startswith("Installing collected packages"):
            told.append(f"  all {collected} packages fetched; unpacking them")
        elif stage := _STAGE.match(line):
            told.append(f"  {stage['count']} {_STAGES[stage['name']]}")
    return told


def _make_environment(directory: Path, python: Path, log: Path) -> None:
    making = Process.start([python, "-m", "venv", "--clear", directory], log=log)
    if making.finish(_VENV_LIMIT):
        raise DemoError(f"no virtual environment in {directory}:\n{making.tail()}")


def _fill(directory: Path, packages: Sequence[str], constraints: Path, log: Path, report: Report) -> None:
    python, expected = directory / "bin" / "python", _count_pins(constraints)
    with tempfile.TemporaryDirectory(prefix="packages-", dir=directory) as scratch:
        # What an interrupted installer has unpacked goes with the directory.
        for installer in installers(python, Path(scratch), compiled=True):
            words = (*installer.command, "--constraint", constraints, *packages)
            with Process.start(words, log=log, variables=installer.variables) as process:
                if _follow(installer, process, expected, report) == 0:
                    return
    meaning = explain(log.read_text(errors="replace"))
    raise DemoError(
        f"the packages were not installed: {meaning}\nThe last words of {log}:\n{process.tail(8)}"
    )


def _follow(installer: Installer, process: Process, expected: int, report: Report) -> int:
    """Tell how far an installer is until it ends; its exit status."""
    told = len(tell_progress(process.log.read_text(errors="replace"), expected))
    for _ in range(int(INSTALL_LIMIT / _POLL)):
        status = process.wait(_POLL)
        lines = tell_progress(process.log.read_text(errors="replace"), expected)
        for line in lines[told:]:
            report(line)
        told = len(lines)
        if status is not None:
            return status
    minutes = INSTALL_LIMIT / 60
    raise DemoError(
        f"{installer.name} has not finished after {minutes:.0f} minutes; its log is {process.log}"
    )


def _count_pins(constraints: Path) -> int:
    return sum("==" in line for line in constraints.read_text().splitlines())
