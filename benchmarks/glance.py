"""The scenario with a real Glance: an image by the glance command through proxies, and by curl without one.

What each image came to is asked past the proxies: active, its size and its sha512, or the run is void.
"""

import contextlib
import hashlib
import http.client
import os
import shutil
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arena import Arena, temporary_folder
from benchmarks.engine import Inexact, NotMeasured
from benchmarks.engine.contest import Sample
from benchmarks.engine.watch import Watch
from benchmarks.peers.kinds import NGINX, Peer
from benchmarks.peers.starting import Behind, complaint, start_peer
from benchmarks.scenario import Scenario
from shim.demo import DemoError
from shim.demo.client import TOKEN, image_create, look_up
from shim.demo.environment import find_environment
from shim.demo.front import start_shim
from shim.demo.glance import Glance
from shim.demo.hosting import Server
from shim.demo.processes import own_variables

_MIB = 1024**2
_LIMIT = 900.0
_BEGINNINGS = 3
# The glance command takes for data whatever stands at its input and is no terminal: it must have none.
_WITHOUT_INPUT = ("sh", "-c", 'exec "$@" <&-', "sh")
_PROXIES = {"shim": (), "shim-handoff": ("body=handoff",)}


@dataclass(frozen=True, slots=True)
class Image:
    """What is uploaded, again and again."""

    file: Path
    size: int
    sha512: str

    @classmethod
    def make(cls, file: Path, size: int) -> "Image":
        """A file of bytes that no disk compresses."""
        digest = hashlib.sha512()
        with file.open("wb") as output:
            for start in range(0, size, _MIB):
                piece = os.urandom(min(_MIB, size - start))
                digest.update(piece)
                output.write(piece)
        return cls(file, size, digest.hexdigest())


class GlanceRun:
    """Uploads one image to a Glance, and takes it away again.

    Args:
        plain: Where Glance answers without a proxy.
        client: What is run for an image's id.
        pid: Of the proxy; None where there is none.
    """

    def __init__(
        self, name: str, plain: str, image: Image, *, client: "Client", pid: int | None, home: Path
    ) -> None:
        self.name = name
        self._plain = plain
        self._image = image
        self._client = client
        self._pid = pid
        self._home = home

    def prove(self) -> None:
        """As every run: Glance keeps a hash of what it got."""
        self.measure()

    def measure(self) -> Sample:
        """Seconds of the command, CPU and memory of the proxy."""
        image = str(uuid.uuid4())
        try:
            if self._pid is None:
                return {"time": self._upload(image)}
            with Watch(self._pid) as watch:
                seconds = self._upload(image)
            return {"time": seconds} | watch.values()
        finally:
            _delete(self._plain, image)

    def _upload(self, image: str) -> float:
        first, *others = self._client.commands(image, self._image.file)
        began = self._begin(first)
        for command in others:
            self._run(command)
        seconds = time.monotonic() - began
        self._compare(image)
        return seconds

    def _begin(self, command: list[str | Path]) -> float:
        """Run the first command; when it began.

        Where there is no proxy it may begin anew: uWSGI's http-socket keeps no connection, and now and then
        the glance command still asks its next question on one that is being closed, and gets a reset.
        """
        for _ in range(_BEGINNINGS if self._pid is None else 1):
            began = time.monotonic()
            try:
                self._run(command)
            except Inexact as fault:
                if "Connection reset" not in str(fault):
                    raise
                failed = fault
            else:
                return began
        raise failed

    def _run(self, command: list[str | Path]) -> None:
        variables = own_variables(HOME=str(self._home), PYTHONPATH="")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=variables,
                timeout=_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise Inexact(f"no end after {_LIMIT:.0f} s") from late
        if done.returncode:
            raise Inexact((done.stdout + done.stderr).decode(errors="replace").strip()[-300:])

    def _compare(self, image: str) -> None:
        state = look_up(self._plain, image)
        found, wanted = (state.status, state.size, state.hash_value), self._image
        if found != ("active", wanted.size, wanted.sha512):
            raise Inexact(f"the image is {state.status}, {state.size} bytes, or its hash differs")


@dataclass(frozen=True, slots=True)
class Client:
    """How an image gets to ``url``.

    Attributes:
        glance: The glance command; its start and its request for the image are in every time.
        has_length: Whether curl sends the data, with the length that the glance command never tells.
    """

    url: str
    glance: Path
    has_length: bool = False

    def commands(self, image: str, file: Path) -> list[list[str | Path]]:
        """Programs and arguments, one after the other."""
        if not self.has_length:
            return [[self.glance, *image_create(self.url, image, "bench", str(file))[1:]]]
        curl = shutil.which("curl")
        assert curl is not None
        quiet = ("-q", "-sS", "--fail-with-body", "--noproxy", "*", "-T", str(file))
        # Without Expect: uWSGI says no 100, and curl would wait a second for it, which is nobody's time here.
        headers = (
            "-H",
            f"X-Auth-Token: {TOKEN}",
            "-H",
            "Content-Type: application/octet-stream",
            "-H",
            "Expect:",
        )
        send: list[str | Path] = [curl, *quiet, *headers, f"{self.url}/v2/images/{image}/file"]
        return [[*_WITHOUT_INPUT, self.glance, *image_create(self.url, image, "bench")[1:]], send]


def _delete(url: str, image: str) -> None:
    """Take an image away, past the proxies; of the answer only that it came counts."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    headers = {"X-Auth-Token": TOKEN, "Connection": "close"}
    with contextlib.closing(connection):
        connection.request("DELETE", f"/v2/images/{image}", headers=headers)
        connection.getresponse().read()


# -- setting it up ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_glance(scenario: Scenario, parent: Path) -> Iterator[Arena]:
    """Glance, and the scenario's participants before it; ended with the block.

    Raises:
        NotMeasured: Glance is not installed.
        DemoError: It did not start.
    """
    environment = find_environment()
    if environment is None:
        raise NotMeasured("Glance is not installed (make demo ONCE=1 installs it)")
    with temporary_folder(parent) as folder, contextlib.ExitStack() as stack:
        glance = stack.enter_context(Glance.make(folder / "glance", environment=environment))
        server = glance.serve("uwsgi-unix", "uwsgi-http-socket", workers=2)
        image = Image.make(folder / "image", scenario.load.size)
        opener = _Opener(folder, image, server, environment.program("glance"), stack)
        arena = Arena([], {}, [])
        for name in scenario.participants:
            try:
                arena.participants.append(opener.open(name))
            except NotMeasured as reason:
                arena.absent[name] = str(reason)
        yield arena


class _Opener:
    """Starts the proxies before Glance."""

    def __init__(
        self, folder: Path, image: Image, server: Server, program: Path, stack: contextlib.ExitStack
    ) -> None:
        self._folder = folder
        self._image = image
        self._server = server
        self._program = program
        self._stack = stack

    def open(self, name: str) -> GlanceRun:
        plain = self._server.urls["uwsgi-http-socket"]
        if name == "alone":
            if shutil.which("curl") is None:
                raise NotMeasured("curl is not installed (Debian: apt-get install curl)")
            return self._run(name, Client(plain, self._program, has_length=True), None)
        url, pid = self._nginx() if name == "nginx" else self._shim(name, _PROXIES[name])
        return self._run(name, Client(url, self._program), pid)

    def _run(self, name: str, client: Client, pid: int | None) -> GlanceRun:
        plain = self._server.urls["uwsgi-http-socket"]
        return GlanceRun(name, plain, self._image, client=client, pid=pid, home=self._folder)

    def _nginx(self) -> tuple[str, int]:
        socket_file = self._server.urls["uwsgi-unix"].removeprefix("uwsgi+unix://")
        peer = Peer(NGINX, "nginx-uwsgi.conf")
        running = start_peer(peer, self._folder / "nginx", Behind(0, f"unix:{socket_file}"), None)
        self._stack.enter_context(running.service)
        return f"http://127.0.0.1:{running.place.port}", running.service.pid

    def _shim(self, name: str, settings: tuple[str, ...]) -> tuple[str, int]:
        try:
            shim = start_shim(self._server.urls["uwsgi-unix"], self._folder / name, *settings)
        except DemoError as fault:
            raise NotMeasured(complaint(str(fault), self._folder / name)) from fault
        self._stack.enter_context(shim)
        return shim.url, shim.pid
