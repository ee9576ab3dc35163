"""What systemd is told, as it would read it."""

import os
import re
import socket

import pytest

from shim.server.notify import Notifier
from tests.support.series import series


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """Systemd's socket, and how $NOTIFY_SOCKET names it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}"
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        yield listener, name


def test_what_is_said(systemd):
    listener, name = systemd
    environment = {"NOTIFY_SOCKET": name, "PATH": "/bin"}
    notifier = Notifier.from_environment(environment)
    assert environment == {"PATH": "/bin"}
    notifier.ready()
    notifier.status("serving")
    notifier.status("serving")
    notifier.alive()
    notifier.stopping()
    assert [listener.recv(100) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=serving",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]
    notifier.reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[0-9]{4,}", listener.recv(100))


@series(
    ("variables", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(variables, watchdog):
    assert Notifier.from_environment(dict(variables)).watchdog == watchdog


@pytest.mark.parametrize("address", [None, "", "/nonexistent/socket"])
def test_nobody_listens(address):
    Notifier(address).ready()


def test_somebody_who_does_not_read(systemd):
    """Its queue is full: we go on, and do not wait."""
    _, name = systemd
    notifier = Notifier(name)
    for number in range(2000):
        notifier.status(str(number))
