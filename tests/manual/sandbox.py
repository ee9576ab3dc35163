"""Runs the manual's commands as they stand there, but for the places that they name.

A page's commands run one after the other in one directory. ``serve`` goes on in the background, until the
page ends or serves anew, as it would in a terminal of its own.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from shim.demo.addresses import free_port
from shim.demo.processes import own_variables
from tests.manual.blocks import ANY_LINES, ROOT, Command
from tests.support.wire import eventually

PROGRAM = "/opt/glance-shim/bin/glance-shim"
COMMAND_LIMIT = 120.0
"""Seconds that one command may take, pip's installation among them."""
SERVES = re.compile(r"glance-shim serve\b")


class Sandbox:
    """A directory, the programs, and the places of the manual with what stands for each of them.

    Args:
        folder: Where commands run; short, for sockets are made in it.
        upstream: The socket of a uWSGI that serves Glance.
        installed: Where /opt/glance-shim is; None: the program is the one under test.
        programs: Further programs by name.
        variables: The environment of a person with a cloud.
    """

    def __init__(
        self,
        folder: Path,
        upstream: Path,
        *,
        installed: Path | None = None,
        programs: Mapping[str, Path] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log = folder / "serve.log"
        self.clients, self.admin = free_port(), free_port()
        self.places = {
            "/run/glance/api.sock": str(upstream),
            "127.0.0.1:9292": f"127.0.0.1:{self.clients}",
            "127.0.0.1:9293": f"127.0.0.1:{self.admin}",
        }
        if installed is not None:
            self.places["/opt/glance-shim"] = str(installed)
        bin_folder = folder / "bin"
        (folder / "spool").mkdir(parents=True)
        bin_folder.mkdir()
        for name, path in (programs or {}).items():
            (bin_folder / name).symlink_to(path)
        if installed is None:
            program = bin_folder / "glance-shim"
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m shim "$@"\n')
            program.chmod(0o755)
            self.places[PROGRAM] = "glance-shim"
        # What the page leaves at its defaults others on this machine may have taken.
        self.variables = own_variables(
            PATH=f"{bin_folder}:{os.environ['PATH']}",
            HOME=str(folder),
            GLANCE_SHIM_ADMIN__LISTEN=self.places["127.0.0.1:9293"],
            GLANCE_SHIM_SERVER__LISTEN=f'["{self.places["127.0.0.1:9292"]}"]',
            GLANCE_SHIM_SPOOL__DIRECTORY=str(folder / "spool"),
            **({"PYTHONPATH": str(ROOT)} if installed is None else {}),
            **(variables or {}),
        )
        self.serving: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def follow(self, commands: Iterable[Command]) -> None:
        """Run these one after the other; the first that fails, or prints something else, ends it."""
        for command in commands:
            self.run(command)

    def run(self, command: Command, *, directory: Path | None = None) -> None:
        """Run one command, to its end or until it serves."""
        if SERVES.search(command.text):
            self._serve(command)
            return
        ended = subprocess.run(
            ["bash", "-ec", self._translate(command.text)],
            cwd=directory or self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT,
            check=False,
        )
        assert ended.returncode == 0, f"{command}: exit status {ended.returncode}\n{ended.stdout}"
        printed = [_words(line) for line in ended.stdout.splitlines()]
        for line in command.output:
            assert line == ANY_LINES or _words(self._translate(line)) in printed, (
                f"{command}: {line!r} is not printed, but\n{ended.stdout}"
            )

    def _serve(self, command: Command) -> None:
        self.stop()
        with self.log.open("wb") as log:
            self.serving = subprocess.Popen(
                ["bash", "-c", f"exec {self._translate(command.text)}"],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # A process of its own, on a machine that tests other things beside it.
        eventually(self._answers, f"{command}: it does not answer, see {self.log}", within=COMMAND_LIMIT)

    def _answers(self) -> bool:
        assert self.serving is not None
        assert self.serving.poll() is None, f"it ended: {self.log.read_text()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/healthz", timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Ctrl-C where something serves: it has to end well."""
        if self.serving is None:
            return
        serving, self.serving = self.serving, None
        serving.send_signal(signal.SIGINT)
        try:
            assert serving.wait(30) == 0, self.log.read_text()
        finally:
            serving.kill()

    def _translate(self, text: str) -> str:
        for place, stand_in in self.places.items():
            text = text.replace(place, stand_in)
        return text


def _words(line: str) -> str:
    """A line without the widths of its columns."""
    return " ".join(line.split())
