"""uWSGI with the stand-in for Glance: started, reloaded, killed and started again at the same address."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path
from types import ModuleType
from typing import Self

from shim.demo.addresses import answers, wait_until
from shim.demo.environment import Environment
from shim.demo.hosting import Application, choose_url, server_command
from shim.demo.processes import Process, own_variables
from tests.soak import standin
from tests.support.module import load

WORKERS = 3
START = 60.0


class Backend:
    """The server behind the shim.

    Attributes:
        url: As ``--upstream`` takes it.
        stats: Where its stats server is.
        images: The stand-in's own view of its images: what a verdict rests on.
    """

    def __init__(self, directory: Path, environment: Environment) -> None:
        (directory / "images").mkdir(parents=True)
        self.images: ModuleType = load(Path(shutil.copy(standin.__file__, directory / "soak_standin.py")))
        application = Application(
            environment=environment,
            directory=directory,
            name="standin",
            module="soak_standin:application",
            variables=own_variables(PYTHONPATH=str(directory), PYTHONDONTWRITEBYTECODE="1"),
        )
        self.url = choose_url("uwsgi-unix", application)
        self.stats = directory / "stats"
        command = server_command(application, {"uwsgi-unix": self.url}, workers=WORKERS, threads=1)
        # Longer than a client may keep the server waiting (timeouts.cut_through_stall).
        self._command = [*command, "--stats", str(self.stats), "--socket-timeout", "60"]
        self._variables = application.variables
        self._log = directory / "uwsgi.log"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = Process.start(self._command, log=self._log, variables=self._variables)
        wait_until(lambda: answers(self.url), self._process, name="uWSGI", limit=START)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def reload(self) -> None:
        """Gracefully, as an operator does."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGHUP)

    def kill_worker(self) -> None:
        """SIGKILL to one that is at work, where one is."""
        workers = sorted(self._workers(), key=lambda worker: worker["status"] == "idle")
        if workers:
            os.kill(workers[0]["pid"], signal.SIGKILL)

    def _workers(self) -> list[dict]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.stats))
                told = b"".join(iter(lambda: connection.recv(65_536), b""))
        except OSError:
            return []
        return [worker for worker in json.loads(told)["workers"] if worker["pid"]]
