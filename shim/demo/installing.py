"""Filling a virtual environment with pip, with progress for a person and errors that say what to do.

``environment`` decides whether this is needed at all, and marks the result as finished.
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shim.demo import DemoError
from shim.demo.interpreters import choose_python
from shim.demo.processes import Process
from shim.timing import Seconds

Report = Callable[[str], None]

# A slow line needs minutes for some 40 MB; pip's own timeouts find a dead one sooner.
INSTALL_LIMIT: Seconds = 1800.0
_VENV_LIMIT: Seconds = 300.0
_POLL: Seconds = 0.5
_PROGRESS_STEP = 25

# What pip's log may hold -> what it means for a person; the first that fits is told.
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
        DemoError: It did not work; the text says why as far as pip's log tells.
    """
    python = choose_python()
    if python == Path(sys.executable) and importlib.util.find_spec("ensurepip") is None:
        raise DemoError(
            "this Python cannot make virtual environments: its ensurepip module is missing "
            "(Debian and Ubuntu: apt-get install python3-venv)"
        )
    log.unlink(missing_ok=True)
    _make_environment(directory, python, log)
    _run_pip(directory, packages, constraints, log, report)


def explain(output: str) -> str:
    """What pip's output means for a person."""
    for signs, meaning in _MEANINGS:
        if any(sign in output for sign in signs):
            return meaning
    return "pip failed"


def count_collected(output: str) -> int:
    """How many packages pip has found so far."""
    return sum(line.startswith("Collecting ") for line in output.splitlines())


def _make_environment(directory: Path, python: Path, log: Path) -> None:
    making = Process.start([python, "-m", "venv", "--clear", directory], log=log)
    if making.finish(_VENV_LIMIT):
        raise DemoError(f"no virtual environment in {directory}:\n{making.tail()}")


def _run_pip(directory: Path, packages: Sequence[str], constraints: Path, log: Path, report: Report) -> None:
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "3"]
    pip: list[str | Path] = [directory / "bin" / "python", "-m", "pip", "install", "--no-user", *options]
    with tempfile.TemporaryDirectory(prefix="pip-", dir=directory) as temporary:
        # An interrupted pip leaves its unpacked packages behind: here they go with the directory.
        variables = os.environ | {"TMPDIR": temporary}
        command = [*pip, "--constraint", constraints, *packages]
        with Process.start(command, log=log, variables=variables) as process:
            status = _follow(process, _count_pins(constraints), report)
    if status:
        meaning = explain(log.read_text(errors="replace"))
        raise DemoError(f"Glance was not installed: {meaning}\npip's last words ({log}):\n{process.tail(8)}")


def _follow(process: Process, expected: int, report: Report) -> int:
    """Tell how far pip is until it ends; its exit status."""
    told, unpacking = 0, False
    for _ in range(int(INSTALL_LIMIT / _POLL)):
        status = process.wait(_POLL)
        output = process.log.read_text(errors="replace")
        collected = count_collected(output)
        if collected >= told + _PROGRESS_STEP:
            told = collected
            report(f"  {collected} of about {expected} packages found")
        if not unpacking and "Installing collected packages" in output:
            unpacking = True
            report(f"  all {collected} packages fetched; unpacking them")
        if status is not None:
            return status
    raise DemoError(f"pip has not finished after {INSTALL_LIMIT / 60:.0f} minutes; its log is {process.log}")


def _count_pins(constraints: Path) -> int:
    return sum("==" in line for line in constraints.read_text().splitlines())
