"""The shim as a process: started with a configuration of its own, watched from outside, ended by its pid."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.client import Answer, Client, head
from tests.support.forks import Forked, parent
from tests.support.wire import PATIENCE, eventually

ROOT = Path(__file__).parents[2]
"""The project's tree, from where the shim is started."""

PORT_ATTEMPTS = 5
PORT_TAKEN = "another process listens there"
START = 30.0
"""Seconds a shim may take to start on a busy machine."""

Settings = Mapping[str, Any]
"""Dotted option names and their values, as in the configuration file."""

Route = Mapping[str, Any]

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
HELD = re.compile(
    r"^glance_shim_(spool_bytes|spool_files|uploads|upstream_inflight)(?:\{.*\})? (\S+)$", re.MULTILINE
)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

COMPLAINTS = (
    "Traceback (most recent call last)",
    "was never awaited",
    "Exception ignored",
    "never retrieved",
    "ResourceWarning",
)
"""What never stands in the log of a healthy program, whatever its clients do."""


class Shim:
    """One ``python -m shim serve``. Use as a context manager, or :meth:`start` and :meth:`stop`.

    ``settings`` come over the defaults of :func:`defaults`; a value of None removes a default.
    With ``admin_socket`` the admin listener is on a unix socket too, where calls that change something need
    no token (:meth:`call`).
    ``ready`` is the status of /readyz to wait for, or None to wait for the listeners only. ``python`` is the
    interpreter that runs it, our own unless one with more packages is needed; ``prefix`` a command that runs
    another, as ``ip netns exec`` does.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        routes: Sequence[Route] = (),
        environment: Mapping[str, str] | None = None,
        ready: int | None = 200,
        python: Path | str = sys.executable,
        forked: bool = False,
        admin_socket: bool = False,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.spool.mkdir(parents=True, exist_ok=True)
        self.log = folder / "shim.log"
        self.file = folder / "shim.toml"
        self.settings = settings
        self.routes = routes
        self.environment = environment or {}
        self.ready = ready
        self.python = python
        self.forked = forked
        self.admin_socket = folder / "admin.sock" if admin_socket else None
        self.prefix = prefix
        self.port = self.admin_port = 0
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.leaving = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.returncode is None:
            self.stop()

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write the configuration, start, and wait until it serves."""
        for _ in range(PORT_ATTEMPTS):
            self.launch()
            try:
                self.await_ready()
            except PortTaken:
                continue
            return
        raise RuntimeError(f"no free port in {PORT_ATTEMPTS} attempts")

    def launch(self) -> None:
        """Start without waiting."""
        self.leaving = False
        self.port = free_port()
        self.admin_port = free_port(other_than=self.port)
        self.file.write_text(self._configuration())
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GLANCE_SHIM_") and not name.lower().endswith("_proxy")
        }
        environment |= {"TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"} | dict(self.environment)
        arguments = ["serve", "--config", str(self.file)]
        if self.forked:
            self.process = parent().start(arguments, environment, self.log)
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.python, "-m", "shim", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Wait until the proxied listener takes connections and /readyz says what is expected."""
        try:
            eventually(self._is_up, "the shim serves", START)
        except BaseException as failure:
            failure.add_note(self.log_text()[-3000:])
            self.kill()
            raise

    def _is_up(self) -> bool:
        assert self.process
        status = self.process.poll()
        if status is not None:
            if PORT_TAKEN in self.log_text()[-1000:]:
                # Somebody was quicker between our choice and its start.
                raise PortTaken
            raise RuntimeError(f"the shim ended with {status} instead of serving")
        try:
            with Client(self.address):
                pass
            # Asked in any case: the admin's listener comes a moment after the other.
            status = self.admin("/readyz").status
        except (OSError, AssertionError):
            return False
        return self.ready in (None, status)

    @property
    def address(self) -> tuple[str, int] | str:
        """Where clients connect."""
        return "127.0.0.1", self.port

    @property
    def admin_address(self) -> tuple[str, int] | str:
        """Where operators do."""
        return "127.0.0.1", self.admin_port

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives; once it has ended and been asked, its status is not looked at again."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process
        self.process.send_signal(number)

    def wait(self, within: float = START) -> int:
        """Wait for its end and give the exit status."""
        assert self.process
        return self.process.wait(within)

    def ask_to_end(self) -> None:
        """SIGTERM, once."""
        if not self.leaving:
            self.leaving = True
            self.signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, where it was not sent yet; it must end with 0."""
        self.ask_to_end()
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM did not end the shim\n{self.log_text()[-3000:]}") from None
        assert status == 0, f"exit status {status} after SIGTERM\n{self.log_text()[-3000:]}"

    def kill(self) -> None:
        """SIGKILL, also for worker processes (its session is its own)."""
        assert self.process
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(START)

    def _configuration(self) -> str:
        settings = defaults(self.port, self.admin_port, self.spool) | dict(self.settings)
        if self.admin_socket is not None:
            settings["admin.listen"] = [settings["admin.listen"], f"unix:{self.admin_socket}"]
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if value is not None]
        for route in self.routes:
            lines += ["[[routes]]", *(f"{name} = {json.dumps(value)}" for name, value in route.items())]
        return "\n".join(lines) + "\n"

    # -- what it tells ------------------------------------------------------------------------------

    def admin(self, path: str, *headers: str) -> Answer:
        """Ask the admin listener."""
        with Client(self.admin_address) as client:
            client.send(head("GET", path, "Connection: close", *headers, host=f"127.0.0.1:{self.admin_port}"))
            return client.answer()

    def call(self, path: str) -> Answer:
        """POST to the admin listener, by its unix socket: a call that changes something."""
        assert self.admin_socket is not None, "it has none: admin_socket=True"
        with Client(str(self.admin_socket)) as client:
            client.send(head("POST", path, "Connection: close", "Content-Length: 0", host="localhost"))
            return client.answer("POST")

    def log_text(self, start: int = 0) -> str:
        """What it wrote to stdout and stderr, from a byte position on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read().decode("utf-8", "replace")

    def log_size(self) -> int:
        """Bytes in the log so far."""
        return self.log.stat().st_size

    def log_lines(self, start: int = 0) -> list[dict[str, Any]]:
        """The JSON lines of the log."""
        lines = []
        for line in self.log_text(start).splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    def complaints(self, start: int = 0) -> list[str]:
        """Lines of the log that tell of a fault in the program."""
        return [
            line[:2000]
            for line in self.log_text(start).splitlines()
            if any(complaint in line for complaint in COMPLAINTS)
        ]

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples of /metrics by name and labels."""
        answer = self.admin("/metrics")
        assert answer.status == 200, answer
        samples = {}
        for line in answer.body.decode().splitlines():
            if not line or line.startswith("#"):
                continue
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            samples[match[1], frozenset(LABEL.findall(match[2] or ""))] = float(match[3])
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; a missing labelled sample counts 0."""
        samples = self.metrics()
        values = [
            value
            for (sample, found), value in samples.items()
            if sample == f"glance_shim_{name}" and labels.items() <= dict(found).items()
        ]
        assert values or labels, f"no metric glance_shim_{name} in {sorted({name for name, _ in samples})}"
        return sum(values)

    def uploads(self) -> list[dict[str, Any]]:
        """The live uploads of /uploads."""
        answer = self.admin("/uploads")
        assert answer.status == 200, answer
        found = json.loads(answer.body)
        return found["uploads"] if isinstance(found, dict) else found

    # -- what it holds ------------------------------------------------------------------------------

    def spool_files(self) -> list[str]:
        """Files in the spool directory, and deleted or nameless ones there that a process still has open."""
        named = [str(path) for path in self.spool.rglob("*") if not path.is_dir()]
        if not self.running:
            return named
        open_files = {
            link for pid in self.family() for link in descriptors(pid) if link.startswith(f"{self.spool}/")
        }
        return named + sorted(open_files - set(named))

    def family(self) -> list[int]:
        """Its process id, and those of all that it has started."""
        family, place = [self.pid], 0
        while place < len(family):
            for task in Path(f"/proc/{family[place]}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    family += map(int, task.read_text().split())
            place += 1
        return family

    def holdings(self) -> dict[str, float]:
        """What must be 0 at rest: bytes and files in the spool, uploads, requests in the upstream."""
        answer = self.admin("/metrics")
        assert answer.status == 200, answer
        held = dict.fromkeys(("spool_bytes", "spool_files", "uploads", "upstream_inflight"), 0.0)
        # Only these are read: it is asked for after each test.
        for name, value in HELD.findall(answer.body.decode()):
            held[name] += float(value)
        return held | {"open files": len(self.spool_files())}

    def await_rest(self, within: float = PATIENCE) -> None:
        """Wait until it holds nothing any more."""
        held: dict[str, float] = {}

        def is_at_rest() -> bool:
            held.update(self.holdings())
            return not any(held.values())

        until = time.monotonic() + within
        while not is_at_rest():
            assert time.monotonic() < until, f"still held after {within} s: {held}; {self.uploads()}"
            time.sleep(0.01)


def defaults(port: int, admin_port: int, spool: Path) -> dict[str, Any]:
    """The settings every test shim has unless it says otherwise."""
    return {
        "body": "spool",
        "service": "none",
        "server.listen": [f"127.0.0.1:{port}"],
        "admin.listen": f"127.0.0.1:{admin_port}",
        "spool.directory": str(spool),
        "server.state_directory": str(spool.parent / "state"),
        "log.format": "json",
        "timeouts.connect_retry": "500ms",
        "timeouts.drain": "2s",
    }


class PortTaken(Exception):
    """Another process listens on the port that was chosen."""


def free_port(other_than: int = 0) -> int:
    """A TCP port nobody listens on, outside the range from which outgoing connections are numbered."""
    while True:
        port = random.randint(20000, 32000)
        if port == other_than:
            continue
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def descriptors(pid: int) -> list[str]:
    """What a process has open, as the kernel names it."""
    # Without pathlib: it is asked for after each of twenty thousand tests.
    links = []
    place = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(place):  # noqa: PTH208 - see above
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"{place}/{descriptor}"))  # noqa: PTH115 - the same
    return links
