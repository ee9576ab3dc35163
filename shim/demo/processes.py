"""Programs that the demo starts: each in a session of its own, with a log file, and surely ended.

Ctrl-C in the terminal reaches only the demo, which then stops its programs in order, by process id; should
it be killed instead, ``guard`` sees to it that they end too.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shim.demo import DemoError
from shim.timing import Seconds

_GUARD = Path(__file__).with_name("guard.py")
_POLL: Seconds = 0.05

# What a person's shell may hold for other clouds and servers, and what would lead loopback traffic
# through a proxy: oslo.config reads OS_*, uWSGI reads UWSGI_* as options.
_FOREIGN_PREFIXES = ("OS_", "UWSGI_", "GUNICORN_", "GLANCE_SHIM_")
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def own_variables(**more: str) -> dict[str, str]:
    """This process' environment without what is meant for other clouds, plus ``more``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_PREFIXES) and name.lower() not in _PROXIES
    }
    return kept | more


class Process:
    """One running program; ends with the ``with`` block, or with the thread that started it.

    Attributes:
        pid: Its process id, which is also its session and process group.
        log: The file that receives its standard output and error.
    """

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.log = log

    @classmethod
    def start(
        cls, arguments: Sequence[str | Path], *, log: Path, variables: Mapping[str, str] | None = None
    ) -> Self:
        """Start a program, an absolute path first.

        Args:
            arguments: The program and its arguments.
            log: Is appended to.
            variables: Its whole environment; ours by default.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        guarded = [sys.executable, "-I", "-S", _GUARD, str(os.getpid()), *arguments]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=variables,
                start_new_session=True,
            )
        return cls(popen, log)

    def status(self) -> int | None:
        """Exit status, a signal's number as negative; None while it runs."""
        if self._popen.returncode is None and self._is_over():
            # Its children first: while the leader is not reaped, nobody else can get its number.
            self._kill_group()
            self._popen.wait()
        return self._popen.returncode

    def wait(self, limit: Seconds) -> int | None:
        """Wait for the end; the status, or None when it still runs after ``limit``."""
        end = time.monotonic() + limit
        while (status := self.status()) is None and time.monotonic() < end:
            time.sleep(_POLL)
        return status

    def finish(self, limit: Seconds) -> int:
        """Wait for the end of a program that should come to one by itself.

        Raises:
            DemoError: It took longer than ``limit``, and was stopped.
        """
        try:
            status = self.wait(limit)
        finally:
            self.stop(grace=1.0)
        if status is None:
            raise DemoError(f"no end after {limit:.0f} s; the last lines of {self.log}:\n{self.tail()}")
        return status

    def stop(self, grace: Seconds = 10.0) -> None:
        """Ask it to end, and kill it with all its children when it has not after ``grace``."""
        if self.status() is None:
            os.kill(self.pid, signal.SIGTERM)
            if self.wait(grace) is None:
                self._kill_group()
                self._popen.wait()

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_over(self) -> bool:
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def _kill_group(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)


class Service:
    """A program that serves until it is stopped, at the latest at the end of its ``with`` block.

    Attributes:
        pid: Of its master process.
        log: What it wrote.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid
        self.log = process.log

    @property
    def is_running(self) -> bool:
        """Whether the master is alive."""
        return self._process.status() is None

    def stop(self, grace: Seconds = 10.0) -> None:
        """Ask it to end, kill what is left after ``grace``, and wait until all is gone."""
        self._process.stop(grace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
