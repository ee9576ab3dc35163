"""Machines for a test: network namespaces with a line each to one in the middle, that can be cut."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Self

LIMIT = 20.0
"""Seconds that one step may take."""


class Machines:
    """A hub, and around it machines by name; each reaches the hub, and nothing else.

    Files, and so unix sockets, are the same everywhere: a test talks to all of them by these.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.hub = f"gs{os.getpid()}-hub"

    @staticmethod
    def lack() -> str:
        """Why there can be none here; empty where there can."""
        if missing := [tool for tool in ("ip", "unshare") if shutil.which(tool) is None]:
            return f"{' and '.join(missing)} not installed"
        if os.geteuid() != 0:
            return "network namespaces need root"
        trial = f"gs{os.getpid()}-try"
        made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, timeout=LIMIT, check=False)
        if made.returncode != 0:
            return f"no network namespaces: {made.stderr.decode().strip()}"
        _ip("netns", "del", trial)
        return ""

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.hub)
            for number, name in enumerate(self.names):
                self._connect(number, name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.hub, *map(self._space, self.names)):
            # A line goes with either of its ends.
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=LIMIT, check=False)

    def hub_address(self, name: str) -> str:
        """Where a machine reaches the hub."""
        return f"10.203.{self.names.index(name)}.1"

    def inside(self, name: str) -> Sequence[str]:
        """The command that runs another one on a machine, under its name."""
        rename = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name)
        return ("ip", "netns", "exec", self._space(name), *rename)

    def inside_hub(self) -> Sequence[str]:
        """The command that runs another one in the middle."""
        return ("ip", "netns", "exec", self.hub)

    def cut(self, name: str) -> None:
        """Let nothing pass on a machine's line: no packet, and no word of that either."""
        # At the hub's end: the machine sees silence, not an address that it has lost.
        _ip("-n", self.hub, "link", "set", self._line(name), "down")

    def mend(self, name: str) -> None:
        """End ``cut``."""
        _ip("-n", self.hub, "link", "set", self._line(name), "up")

    def _connect(self, number: int, name: str) -> None:
        space, line = self._space(name), self._line(name)
        _ip("netns", "add", space)
        _ip(*("-n", self.hub, "link", "add", line, "type", "veth", "peer", "name", "up0", "netns", space))
        _ip("-n", self.hub, "address", "add", f"10.203.{number}.1/30", "dev", line)
        _ip("-n", self.hub, "link", "set", line, "up")
        _ip("-n", space, "address", "add", f"10.203.{number}.2/30", "dev", "up0")
        _ip("-n", space, "link", "set", "up0", "up")

    def _space(self, name: str) -> str:
        return f"gs{os.getpid()}-{name}"

    def _line(self, name: str) -> str:
        return f"to-{name}"


def _ip(*arguments: str) -> None:
    ended = subprocess.run(["ip", *arguments], capture_output=True, timeout=LIMIT, check=False)
    assert ended.returncode == 0, f"ip {' '.join(arguments)}: {ended.stderr.decode()}"
