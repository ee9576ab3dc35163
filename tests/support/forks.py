"""Starts shims by forking a process that has imported the program, for tests that start hundreds of them.

All but the imports is as in a start of its own: session, environment, descriptors, signals, exit status. The
forking process has one thread and no loop; it ends when its tests do.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

# Each of them is loaded by every ``serve`` anyway.
PRELOADED = ("shim.cli", "shim.commands.serve", "shim.config", "shim.app", "shim.server")

LONGEST_LINE = 1 << 16
LONGEST_ANSWER = 60.0
"""Seconds: it only forks, but what it forks has to be imported first."""
ROOT = Path(__file__).parents[2]


class Forked:
    """A shim that was forked; looks like what ``subprocess.Popen`` gives."""

    def __init__(self, parent: "Parent", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent
        # Only its parent can ask for its status; that it has ended anybody can see here, and quickly.
        self._ended = select.poll()
        self._descriptor: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(pid)
            self._ended.register(self._descriptor, select.POLLIN)

    def poll(self) -> int | None:
        """The exit status, None while it runs; negative where a signal ended it."""
        if self.returncode is None and (self._descriptor is None or self._ended.poll(0)):
            self.returncode = self._parent.status(self.pid)
            if self.returncode is not None and self._descriptor is not None:
                os.close(self._descriptor)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("shim", timeout)
            time.sleep(0.01)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Parent:
    """The test process' end of the one that forks."""

    def __init__(self, directory: Path) -> None:
        """Start it in this directory."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forks", str(theirs.fileno())],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        # The shims that it has forked may hold its end open: that it has died is then told by nothing else.
        ours.settimeout(LONGEST_ANSWER)
        self._line = ours
        self._lock = threading.Lock()
        self._reader = ours.makefile("rb")

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        """Run ``shim`` with these arguments, its output appended to a log."""
        answer = self._ask({"arguments": list(arguments), "environment": dict(environment), "log": str(log)})
        return Forked(self, answer["pid"])

    def status(self, pid: int) -> int | None:
        """The exit status of a process that was started here, None while it runs."""
        status: int | None = self._ask({"status": pid})["status"]
        return status

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._line.sendall(json.dumps(question).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._reader.readline(LONGEST_LINE))
        return answer

    def close(self) -> None:
        """End it; what it has started goes on."""
        self._reader.close()
        self._line.close()
        try:
            self._process.wait(LONGEST_ANSWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@functools.cache
def parent() -> Parent:
    """The one of this test process, started when it is first asked for."""
    started = Parent(ROOT)
    atexit.register(started.close)
    return started


# -- in the process that forks --------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Fork and tell of ends, until the test process closes the line."""
    ended: dict[int, int] = {}
    with line, line.makefile("rb") as questions:
        for question in map(json.loads, questions):
            if "status" in question:
                ended |= bury()
                answer = {"status": ended.get(question["status"])}
            else:
                answer = {"pid": fork(line, **question)}
            line.sendall(json.dumps(answer).encode() + b"\n")


def bury() -> dict[int, int]:
    """The exit statuses of all children that have ended, by process id."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def fork(line: socket.socket, arguments: list[str], environment: dict[str, str], log: str) -> int:
    """Fork a process that becomes a shim; gives its id."""
    pid = os.fork()
    if pid == 0:
        line.close()
        become(arguments, environment, log)
    return pid


def become(arguments: list[str], environment: dict[str, str], log: str) -> NoReturn:
    """Be ``python -m shim`` with these arguments."""
    status = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["shim", *arguments]
        runpy.run_module("shim", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 - told as the interpreter would tell it
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def preload() -> None:
    """Import what a shim imports when it starts."""
    for name in PRELOADED:
        module = importlib.import_module(name)
        for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
            importlib.import_module(found.name)
    # What is there now stays: no shim's collector looks at it, and so copies the pages that it is on.
    gc.freeze()


def main() -> None:
    """Serve on the descriptor that is named."""
    line = socket.socket(fileno=int(sys.argv[1]))
    line.set_inheritable(False)
    preload()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    serve(line)


if __name__ == "__main__":
    main()
