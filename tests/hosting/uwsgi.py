"""uWSGI from ``deploy/glance/uwsgi.ini``, on each of the four sockets that the file offers."""

import errno
import os
import re
from pathlib import Path

from shim.demo.processes import Process
from tests.fronts.shipped import read_shipped
from tests.hosting.hosting import WORKERS, Hosting, address_of
from tests.support.wire import eventually

SHIPPED = "uwsgi.ini"
FIFO = "uwsgi.fifo"
UNIX = "\nsocket = /run/glance/api.sock\n"
LOADED = re.compile(r"WSGI app 0 \(mountpoint='.*\bpid: (\d+)")
IN_TURN = "chain reload starting"
SPAWNED = re.compile(r"[Ss]pawned uWSGI worker \d+ \((?:new )?pid: (\d+)")


class Uwsgi(Hosting):
    """On a unix socket, with the uwsgi protocol."""

    scheme = "uwsgi+unix"

    def launch(self, directory: Path, url: str) -> Process:
        environment = self.site.environment
        file = directory / SHIPPED
        text = read_shipped(SHIPPED, {
            "= /opt/glance/bin/python\n": f"= {environment.python}\n",
            "= /opt/glance\n": f"= {environment.directory}\n",
            "= /run/glance/uwsgi.fifo\n": f"= {directory / FIFO}\n",
            "\nprocesses = 4\n": f"\nprocesses = {WORKERS}\n",
            **self.addresses(address_of(url)),
        })  # fmt: skip
        file.write_text(text)
        # uWSGI from PyPI's wheel is a module of Python's own program: a reload would start another Python.
        command = [environment.program("uwsgi"), "--binary-path", environment.python, "--ini", file]
        return Process.start(command, log=directory / "uwsgi.log", variables=self.site.glance.variables())

    def addresses(self, address: str) -> dict[str, str]:
        """What to exchange in the file for it to listen there."""
        return {UNIX: f"\nsocket = {address}\n"}

    def is_ready(self, url: str) -> bool:
        """All workers have loaded: a reload before that would wait out the mercy."""
        loaded = {int(pid) for pid in LOADED.findall(self.log_text())}
        return super().is_ready(url) and loaded.issuperset(self.workers())

    def reload_in_turn(self) -> None:
        """One worker after the other; asked for again while uWSGI has not quite ended the last one."""
        begun = self.log_text().count(IN_TURN)
        eventually(lambda: self._write_fifo("c") and self.log_text().count(IN_TURN) > begun, IN_TURN)

    def _write_fifo(self, command: str) -> bool:
        """Whether it was taken: uWSGI closes the file after each command, and makes another one."""
        assert self.service
        try:
            # Where nobody has it open, a plain open waits: for ever, if the file has just been replaced.
            fifo = os.open(self.service.log.parent / FIFO, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return False
            raise
        try:
            return os.write(fifo, command.encode()) == len(command)
        finally:
            os.close(fifo)

    def workers(self) -> list[int]:
        """By what uWSGI's log says of them; the router is a child of the master too."""
        named = {int(pid) for pid in SPAWNED.findall(self.log_text())}
        return [pid for pid in self.children() if pid in named]


class UwsgiTcp(Uwsgi):
    """On a TCP socket, with the uwsgi protocol."""

    scheme = "uwsgi"

    def addresses(self, address: str) -> dict[str, str]:
        return {UNIX: "\n", "\n;socket = 127.0.0.1:9291\n": f"\nsocket = {address}\n"}


class UwsgiHttpSocket(Uwsgi):
    """With HTTP, by the workers themselves."""

    scheme = "http"

    def addresses(self, address: str) -> dict[str, str]:
        return {
            UNIX: "\n",
            "\n;http-socket = 127.0.0.1:9291\n": f"\nhttp-socket = {address}\n",
            "\n;add-header = Connection: close\n": "\nadd-header = Connection: close\n",
        }


class UwsgiHttpRouter(Uwsgi):
    """With HTTP, by a router process."""

    scheme = "http"

    def reload(self) -> None:
        """HUP would end the router, and with it every request under way."""
        self.reload_in_turn()

    def addresses(self, address: str) -> dict[str, str]:
        return {
            UNIX: "\n",
            "\n;http = 127.0.0.1:9291\n": f"\nhttp = {address}\n",
            "\n;http-timeout = 3600\n": "\nhttp-timeout = 3600\n",
            "\n;post-buffering = 65536\n": "\npost-buffering = 65536\n",
        }
