"""What systemd is told (sd_notify(3)): ready, reloading, stopping, a line of status, and that we are alive.

A datagram to the socket that $NOTIFY_SOCKET names, and nothing at all where it names none. By hand: the
protocol is these few lines, and the libraries for it bring a C library along or do not know RELOADING.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

from shim.timing import Seconds

_MICRO = 1_000_000
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells systemd, where it listens.

    Attributes:
        watchdog: Seconds within which it wants a sign of life, or None.
    """

    def __init__(self, address: str | None = None, watchdog: Seconds | None = None) -> None:
        """Take where to send to (``@`` stands for an abstract name), and how often it wants to hear."""
        self.watchdog = watchdog
        self._address = address
        self._status = ""

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Notifier":
        """As the variables say; they are removed, for they are not meant for what we start."""
        address, period, process = (environment.pop(name, None) for name in _VARIABLES)
        # The variables outlive an exec: a watchdog may have been meant for somebody before us.
        mine = process is None or process == str(os.getpid())
        watchdog = int(period) / _MICRO if period is not None and period.isdigit() and mine else None
        return cls(address, watchdog)

    def ready(self) -> None:
        """All workers take requests; again after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A new configuration is being tried; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The sign of life that the watchdog waits for."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent where it has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # Nobody there, or nobody who reads: not a reason to serve any worse.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(lines).encode(), address)
