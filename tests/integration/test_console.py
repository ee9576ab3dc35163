"""``top`` and ``uploads`` at a real shim of two workers: who may end an upload, and who did."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.client import Client, head
from tests.support.shim import ROOT, Shim
from tests.support.stub import Stub
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
PATIENCE = 30.0


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shim", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Top:
    """``glance-shim top`` in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.end, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", 30, 110, 0, 0))
        self.before = termios.tcgetattr(inner)
        self.inner = inner
        variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shim", "top", *arguments],
            cwd=ROOT,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=variables,
        )
        os.set_blocking(self.end, False)
        self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def until(self, text: str) -> None:
        """Wait until a text has been on the screen since this was asked last."""

        def is_there() -> bool:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self.end, 65536):
                    self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode("utf-8", "replace"))
            return text in self.seen

        eventually(is_there, f"the screen shows {text!r}", PATIENCE)
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.end)
        os.close(self.inner)


@pytest.fixture
def watched(tmp_path: Path):
    settings = {"server.workers": 2, "limits.min_rate": 0, "spool.memory_limit": "0B"}
    with Stub() as stub, Shim(tmp_path, {"upstream": stub.url, **settings}, admin_socket=True) as shim:
        yield shim


def begun_upload(shim: Shim, stack: contextlib.ExitStack, path: str) -> Client:
    client = stack.enter_context(Client(("127.0.0.1", shim.port), PATIENCE))
    client.send(head("PUT", path, f"Content-Length: {3 * MIB}"), bytes(MIB))
    return client


def keys_by_path(shim: Shim) -> dict[str, str]:
    return {upload["path"]: upload["key"] for upload in shim.uploads()}


def test_uploads_are_seen_and_ended(watched: Shim):
    with contextlib.ExitStack() as stack:
        clients = {f"/v2/{number}": begun_upload(watched, stack, f"/v2/{number}") for number in range(6)}
        eventually(lambda: len(watched.uploads()) == len(clients), "all are under way")
        keys = keys_by_path(watched)
        refused = command("uploads", "--admin", f"127.0.0.1:{watched.admin_port}", "cancel", keys["/v2/0"])
        assert (refused.returncode, "need admin.token" in refused.stderr) == (1, True)
        ended_by_command(watched, clients, keys)
        ended_by_top(watched, clients)
    watched.await_rest()
    assert watched.complaints() == []


def ended_by_command(watched: Shim, clients: dict[str, Client], keys: dict[str, str]) -> None:
    """One in each worker, whichever of them answers the call."""
    firsts = {key.partition("-")[0]: path for path, key in keys.items()}
    for path in firsts.values():
        done = command("uploads", "--admin", f"unix:{watched.admin_socket}", "cancel", keys[path])
        assert (done.returncode, done.stdout) == (
            0,
            f"{keys[path]} is cancelled: PUT {path}, 1.0 MiB received\n",
        )
        answer = clients.pop(path).answer("PUT")
        assert (answer.status, answer.problem["code"]) == (403, "cancelled")
        last = [line for line in watched.log_lines() if line["logger"] == "shim.audit"][-1]
        assert last["who"].startswith(f"uid {os.getuid()} (pid ")
        assert (last["what"], last["done"]) == (f"POST /uploads/{keys[path]}/cancel", True)
    again = command("uploads", "--admin", f"unix:{watched.admin_socket}", "cancel", keys[path])
    assert (again.returncode, again.stderr) == (1, "glance-shim: no such upload is under way (any more)\n")


def ended_by_top(watched: Shim, clients: dict[str, Client]) -> None:
    path, client = clients.popitem()
    key = keys_by_path(watched)[path]
    top = Top("--admin", f"unix:{watched.admin_socket}")
    try:
        top.until("● Busy")
        top.press(f"/{path}\r")
        top.until(f"only '{path}'")
        top.press("c")
        top.until(f"Cancel {key}?")
        top.press("y")
        top.until(f"{key} is cancelled")
        assert client.answer("PUT").status == 403
        top.press("q")
        assert top.process.wait(PATIENCE) == 0
        assert termios.tcgetattr(top.inner) == top.before
    finally:
        top.close()


def test_top_finds_a_shim_that_was_away(tmp_path: Path):
    top = Top("--admin", f"unix:{tmp_path / 'admin.sock'}")
    try:
        top.until("● No connection")
        with Stub() as stub, Shim(tmp_path, {"upstream": stub.url}, admin_socket=True):
            top.until("● Idle")
        top.until("● No connection")
        top.press("q")
        assert top.process.wait(PATIENCE) == 0
    finally:
        top.close()
