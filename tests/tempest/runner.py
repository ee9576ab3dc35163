"""One run of tempest: a workspace, tempest.conf, the run itself, and what became of each test.

The endpoints under test stand in keystone's catalog when it begins; tempest is told nothing else of them.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.environment import Environment
from shim.demo.processes import Process, own_variables
from shim.timing import Seconds
from tests.identity.api import Identity
from tests.tempest.settings import tempest_configuration

_RUN_LIMIT: Seconds = 1800.0
_SHORT_LIMIT: Seconds = 120.0
_WORKSPACE = "conformance"
# Ends of setUpClass and tearDownClass have no test of their own, and names that are no ids.
_FIXTURES = ("setUpClass (", "tearDownClass (")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one test.

    Attributes:
        status: ``success``, ``fail`` or ``skip``, as subunit has it.
        reason: Why it was skipped.
        details: What it said and logged.
    """

    status: str
    seconds: Seconds
    reason: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: the verdicts by test id, and how long it took in all."""

    verdicts: dict[str, Verdict]
    seconds: Seconds

    def count(self, status: str) -> int:
        """How many tests ended so."""
        return sum(verdict.status == status for verdict in self.verdicts.values())


class Tempest:
    """Tempest with a directory for its workspaces, ready to run."""

    def __init__(self, directory: Path, environment: Environment, identity: Identity, downloads: str) -> None:
        self._directory = directory
        self._environment = environment
        self._identity = identity
        self._downloads = downloads

    def run(self, name: str, pattern: str) -> Run:
        """Run the tests whose ids match ``pattern``.

        Raises:
            DemoError: It could not be run; tests that fail are no reason for that.
        """
        place = self._directory / name
        register = self._directory / f"{name}.yaml"
        self._tempest(
            "init",
            "--name",
            _WORKSPACE,
            "--workspace-path",
            str(register),
            str(place),
            log=f"{name}-init.log",
        )
        configuration = tempest_configuration(self._identity, self._downloads, str(place / "logs"))
        (place / "etc/tempest.conf").write_text(configuration)
        began = time.monotonic()
        # One at a time: sqlite bears few writers.
        options = [
            "--workspace",
            _WORKSPACE,
            "--workspace-path",
            str(register),
            "--serial",
            "--regex",
            pattern,
        ]
        self._tempest("run", *options, log=f"{name}.log", limit=_RUN_LIMIT, may_fail=True)
        seconds = time.monotonic() - began
        return Run(self._read_verdicts(place / ".stestr/0", name), seconds)

    def _tempest(
        self, *arguments: str, log: str, limit: Seconds = _SHORT_LIMIT, may_fail: bool = False
    ) -> None:
        command = [self._environment.program("tempest"), *arguments]
        process = Process.start(command, log=self._directory / log, variables=own_variables())
        if process.finish(limit) and not may_fail:
            raise DemoError(f"tempest {arguments[0]} failed:\n{process.tail()}")

    def _read_verdicts(self, stream: Path, name: str) -> dict[str, Verdict]:
        if not stream.exists():
            log = self._directory / f"{name}.log"
            raise DemoError(f"tempest ran no test:\n{log.read_text(errors='replace')[-2000:]}")
        script = Path(__file__).with_name("verdicts.py")
        ended = subprocess.run(
            [self._environment.python, script, stream],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SHORT_LIMIT,
        )
        if ended.returncode:
            raise DemoError(f"the results in {stream} could not be read:\n{ended.stderr[-2000:]}")
        return dict(map(read_verdict, ended.stdout.splitlines()))


def read_verdict(line: str) -> tuple[str, Verdict]:
    """A test's id, without its attributes in brackets, and its verdict."""
    found = json.loads(line)
    identity = found.pop("id")
    if not identity.startswith(_FIXTURES):
        identity = identity.partition("[")[0]
    return identity, Verdict(**found)
