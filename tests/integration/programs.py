"""Running the real clients as a person would: the glance command, openstacksdk in a script, curl."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from shim.demo.environment import Environment
from shim.demo.processes import own_variables

LIMIT = 120.0
"""Seconds that one command may take."""

TOKEN = "integration"
SDK_SCRIPT = Path(__file__).with_name("sdk.py")


@dataclass(frozen=True)
class Ran:
    """How a command ended, and all that it printed."""

    command: str
    status: int
    output: str
    seconds: float

    def succeeded(self) -> str:
        """Its output; fails where the command did."""
        assert self.status == 0, f"{self.command}: exit status {self.status}\n{self.output}"
        return self.output


class Programs:
    """The commands of the environment, and curl."""

    def __init__(self, environment: Environment, home: Path) -> None:
        self.environment = environment
        self.home = home

    def glance(self, url: str, *arguments: str, token: str = TOKEN, data: bytes | None = None) -> Ran:
        """``glance`` against ``url``; ``data`` comes to it by a pipe."""
        program = self.environment.program("glance")
        return self.run(program, "--os-image-url", url, "--os-auth-token", token, *arguments, data=data)

    def sdk(self, url: str, name: str, file: str, *, data: bytes | None = None) -> Ran:
        """openstacksdk's create_image, by file name, or by file object where ``file`` is ``-``."""
        return self.run(self.environment.python, SDK_SCRIPT, url, name, file, data=data)

    def curl(self, *arguments: str | Path, data: bytes | None = None) -> Ran:
        """``curl``, quiet but for errors, to fail where the status is one."""
        program = shutil.which("curl")
        if program is None:
            pytest.skip("curl is not installed")
        header = ("--header", f"X-Auth-Token: {TOKEN}", "--header", "Content-Type: application/octet-stream")
        quiet = ("--silent", "--show-error", "--fail-with-body", "--noproxy", "*")
        return self.run(program, *quiet, *header, *arguments, data=data)

    def run(self, *command: str | Path, data: bytes | None = None) -> Ran:
        """Run a command to its end; its standard input is a pipe that gives ``data``, or /dev/null."""
        began = time.monotonic()
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL if data is None else None,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            # The glance command keeps schemas in the home directory.
            env=own_variables(HOME=str(self.home), PYTHONPATH=""),
            check=False,
        )
        text = ended.stdout.decode(errors="replace")
        return Ran(" ".join(map(str, command)), ended.returncode, text, time.monotonic() - began)
