"""The units for systemd: taken by its own tools, hardened as promised, and started by a real socket.

No systemd runs here as the first process, so that the units themselves are not started: what they start is.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.config.load import load
from shim.config.sources import Flags
from tests.support.client import Client, get
from tests.support.shim import ROOT, START, defaults, free_port
from tests.support.wire import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's tools are not installed"),
]

UNITS = ROOT / "deploy" / "systemd"
GLANCE = ROOT / "deploy" / "glance" / "systemd" / "glance-uwsgi.service"
DROP_INS = sorted(path.name for path in (UNITS / "glance-shim.service.d").iterdir())
NAMES = ["glance-shim.service", "glance-shim.socket", "glance-shim-admin.socket", r"srv-glance\x2dshim.mount"]
MOST_EXPOSED = 2.0


def laid(folder: Path, drop_ins: list[str]) -> Path:
    """The units as they would lie in /etc, with programs that are on this machine."""
    for unit in [*UNITS.glob("*.*"), GLANCE]:
        if unit.is_file():
            (folder / unit.name).write_text(with_programs(unit.read_text()))
    place = folder / "glance-shim.service.d"
    place.mkdir()
    for name in drop_ins:
        (place / name).write_text(with_programs((UNITS / place.name / name).read_text()))
    return folder


def with_programs(unit: str) -> str:
    return re.sub(r"^(Exec\w+=\+?)(/opt|/usr/sbin)/\S+", rf"\1{sys.executable}", unit, flags=re.MULTILINE)


def analyze(folder: Path, *arguments: str) -> str:
    """What ``systemd-analyze`` writes; it has to be content."""
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("drop_ins", [[], DROP_INS], ids=["plain", "every drop-in"])
def test_systemd_takes_the_units(tmp_path: Path, drop_ins: list[str]):
    folder = laid(tmp_path, drop_ins)
    # It writes of every key that it does not know, every value that is none, and every cycle.
    assert analyze(folder, "verify", "--man=no", *NAMES, GLANCE.name) == ""


@pytest.mark.parametrize("drop_ins", [[], DROP_INS], ids=["plain", "every drop-in"])
def test_the_shim_may_do_little(tmp_path: Path, drop_ins: list[str]):
    folder = laid(tmp_path, drop_ins)
    told = analyze(folder, "security", "--offline=true", "--no-pager", str(folder / "glance-shim.service"))
    found = re.search(r"Overall exposure level for glance-shim.service: (\d+\.\d)", told)
    assert found, told
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_users_and_directories(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    users, files = UNITS / "glance-shim.sysusers", UNITS / "glance-shim.tmpfiles"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", users], check=True, timeout=START)
    assert re.search(
        r"^glance-shim:.*:/var/lib/glance-shim:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE
    )
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", files], check=True, timeout=START)
    assert (tmp_path / "etc/glance-shim").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "srv/glance-shim/spool").stat().st_mode & 0o777 == 0o700


def test_times_and_directories_are_those_of_the_settings():
    unit = (UNITS / "glance-shim.service").read_text()
    timeouts = load(None, Flags(), upstream_required=False).settings.timeouts
    stop = re.search(r"^TimeoutStopSec=(\d+)min$", unit, re.MULTILINE)
    assert stop
    assert int(stop[1]) * 60 > timeouts.drain + timeouts.drain_delay
    for name in ("own-disk.conf", "quota.conf"):
        told = (UNITS / "glance-shim.service.d" / name).read_text()
        assert {"own-disk.conf": "/srv/glance-shim/spool", "quota.conf": "/var/lib/glance-shim/spool"}[
            name
        ] in told


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on for the shim's own words."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        # For each word: a shim that says nothing more ends the test.
        told.settimeout(START)
        yield told


def test_a_connection_starts_the_shim(tmp_path: Path, notified: socket.socket):
    port, admin = free_port(), free_port()
    (tmp_path / "spool").mkdir()
    # Its own addresses are others: the sockets take their place.
    settings = defaults(free_port(), free_port(), tmp_path / "spool") | {"timeouts.connect_retry": "0s"}
    chosen = [
        word for name, value in settings.items() for word in ("--set", f"{name}={value}".replace("'", '"'))
    ]
    command = [
        "systemd-socket-activate",
        f"--listen=127.0.0.1:{port}",
        f"--listen=127.0.0.1:{admin}",
        "--fdname=clients:admin",
        f"--setenv=NOTIFY_SOCKET={tmp_path / 'notify'}",
        *(sys.executable, "-m", "shim", "serve", "--upstream", f"http://127.0.0.1:{free_port()}", *chosen),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        first = eventually(lambda: connected(port), "systemd listens", START)
        with first:
            # Nobody runs yet who could answer: this connection is what it is started for.
            first.send(get("/"))
            assert b"upstream_refused" in first.answer().body
        await_word(notified, b"READY=1")
        with Client(("127.0.0.1", admin), START) as health:
            health.send(get("/healthz"))
            assert health.answer().status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(START)
    assert status == 0, (tmp_path / "log").read_text()
    await_word(notified, b"STOPPING=1")


def await_word(notified: socket.socket, word: bytes) -> None:
    """Read what systemd is told until it is this; lines of status come in between."""
    while not notified.recv(1000).startswith(word):
        pass


def connected(port: int) -> Client | None:
    try:
        return Client(("127.0.0.1", port), START)
    except ConnectionRefusedError:
        return None
