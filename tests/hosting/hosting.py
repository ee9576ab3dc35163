"""What every hosting can: be started, reloaded, stopped, and started again at the same address.

Each server's module says how; ``kinds`` lists them all.
"""

import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from shim.demo.addresses import answers, free_port, remove_socket, socket_path, start_on_free_port, wait_until
from shim.demo.processes import Process, Service
from tests.hosting.site import Site
from tests.support.wire import eventually

WORKERS = 2
"""Processes that serve, instead of the number in the shipped file."""

START = 90.0
"""Seconds until it must answer."""


class Hosting(ABC):
    """Glance under one server, from one shipped file.

    Attributes:
        url: Where the shim finds it, as ``--upstream`` takes it; the same after every start.
        service: The running server.
    """

    scheme = "http"

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.site = site
        self.url = ""
        self.service: Service | None = None

    # -- what a server's module says ------------------------------------------------------------------

    @abstractmethod
    def launch(self, directory: Path, url: str) -> Process:
        """Start the server at a URL, its own files in a new directory, without waiting for it."""

    @abstractmethod
    def workers(self) -> list[int]:
        """Process ids of those that serve."""

    def reload(self) -> None:
        """The graceful reload that the documentation names for this server."""
        os.kill(self.pid, signal.SIGHUP)

    # -- life -------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, and wait until all its workers serve.

        Raises:
            DemoError: It ended, or did not answer in time.
            Unavailable: This machine lacks something for it.
        """
        self.url, self.service = start_on_free_port(self._attempt)
        return self

    def _attempt(self) -> tuple[str, Service]:
        directory = self.site.next_directory(self.name)
        url = self.url or self._choose_url()
        self.service = Service(self.launch(directory, url))
        try:
            wait_until(lambda: self.is_ready(url), self.service._process, name=self.name, limit=START)
        except BaseException:
            self.stop(grace=1.0)
            raise
        return url, self.service

    def is_ready(self, url: str) -> bool:
        """Whether it answers, and has all its workers."""
        return answers(url) and len(self.workers()) >= WORKERS

    def stop(self, grace: float = 20.0) -> None:
        """End it as an operator does, by SIGTERM; what is left after ``grace`` seconds is killed."""
        if self.service is not None:
            self.service.stop(grace)

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it with all its workers at once, as when the machine's memory runs out."""
        workers = self.workers()
        for pid in (self.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.is_running, f"{self.name} is dead")

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        if "+unix://" in self.url:
            remove_socket(Path(self.url.partition("+unix://")[2]))

    def __enter__(self) -> Self:
        return self if self.service else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it is --------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of its master."""
        assert self.service
        return self.service.pid

    @property
    def is_running(self) -> bool:
        """Whether its master lives."""
        return self.service is not None and self.service.is_running

    def log_text(self) -> str:
        """What it wrote since its last start."""
        assert self.service
        return self.service.log.read_text(errors="replace")

    def children(self) -> dict[int, str]:
        """Process ids of its master's children, and their command lines."""
        found = {}
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            for pid in map(int, children):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return {}
        return found

    def _choose_url(self) -> str:
        if "+unix" in self.scheme:
            return f"{self.scheme}://{socket_path(self.site.directory, f'{self.name}.sock')}"
        return f"{self.scheme}://127.0.0.1:{free_port()}"


def address_of(url: str) -> str:
    """HOST:PORT or the path of the socket."""
    return url.partition("://")[2]
