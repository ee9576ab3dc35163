"""The demo's story: the same upload twice, straight at uWSGI and through the shim, and what came of it.

Everything in it is real and just happened: Glance, the glance command, its answers. The last part stays
up for the person to try things, until Ctrl-C.
"""

import contextlib
import hashlib
import os
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.client import ImageState, Upload, download_hash, essence, image_create, look_up, run_command
from shim.demo.environment import Environment, ensure_environment, pinned_version
from shim.demo.front import Shim, start_shim
from shim.demo.glance import Glance
from shim.demo.hosting import Server
from shim.demo.suggestions import suggest
from shim.demo.terminal import Terminal
from shim.timing import Seconds

_IMAGE_SIZE = 16 * 1024 * 1024
_WORKERS = 2
_LOOK_PAUSE: Seconds = 0.3
# uWSGI's HTTP socket closes after each answer without saying so, and a client that keeps its connection
# is reset now and then. That is easily mended and not what the demo is about.
_FAIR_CHANCE = ("--add-header", "Connection: close")
_WHY_500 = (
    "The glance command sends its body chunked, without a length, in chunks of 1 MiB. WSGI has no chunked",
    "bodies, and uWSGI's own way of reading them (uwsgi.chunked_read) refuses chunks of that size.",
)
_WHAT_NEXT = (
    "Without --once they stay up, with the status page, until Ctrl-C. In front of a Glance of your own:",
    "  glance-shim check --upstream uwsgi+unix:///run/glance/api.sock     what would go wrong",
    "  glance-shim serve --upstream uwsgi+unix:///run/glance/api.sock     the shim, on 127.0.0.1:9292",
    "docs/quickstart.md goes on from there.",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs and lies ready for the story."""

    environment: Environment
    directory: Path
    image_file: Path
    image_hash: str
    server: Server
    shim: Shim


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an upload; ``state`` is None where Glance does not know the image.

    Attributes:
        wanted_hash: sha512 of the file.
        downloaded_hash: sha512 of what Glance gives back; None where it was not downloaded.
    """

    upload: Upload
    state: ImageState | None
    wanted_hash: str
    downloaded_hash: str | None

    @property
    def is_active(self) -> bool:
        """Whether Glance took the image."""
        return self.state is not None and self.state.status == "active"

    @property
    def is_whole(self) -> bool:
        """Whether Glance took exactly the bytes of the file, by its own hash and by what it gives back."""
        if self.state is None or not self.is_active or self.state.hash_algorithm != "sha512":
            return False
        return self.state.hash_value == self.downloaded_hash == self.wanted_hash


def tell_story(terminal: Terminal, *, once: bool) -> int:
    """Tell it all; the exit status.

    Args:
        terminal: Where to.
        once: End after the uploads, do not stay up.

    Raises:
        DemoError: Something could not be set up.
        KeyboardInterrupt: Interrupted before it stayed up; everything is ended and removed.
    """
    with contextlib.ExitStack() as stack:
        stage = set_stage(stack, terminal)
        tell_straight(stage, terminal)
        if not tell_through(stage, terminal):
            return 1
        if once:
            terminal.heading("uWSGI and the shim end now, and their files are removed.")
            terminal.text(*_WHAT_NEXT)
            return 0
        return stay_up(stage, terminal)


def set_stage(stack: contextlib.ExitStack, terminal: Terminal) -> Stage:
    """Start everything; ``stack`` ends and removes it again."""
    environment = ensure_environment(report=terminal.line)
    terminal.heading("A Glance of its own, on the loopback interface")
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glance-shim-demo-")))
    image_file = directory / "image.raw"
    image_file.write_bytes(os.urandom(_IMAGE_SIZE))
    glance = stack.enter_context(Glance.make(directory / "glance", environment=environment))
    terminal.text(f"Glance {pinned_version('glance')}: an empty sqlite database, a file store in {directory}")
    server = glance.serve("uwsgi-unix", "uwsgi-http-socket", workers=_WORKERS, arguments=_FAIR_CHANCE)
    terminal.text(f"uWSGI {pinned_version('pyuwsgi')}: {_WORKERS} workers, an HTTP socket and a unix socket")
    shim = stack.enter_context(start_shim(server.urls["uwsgi-unix"], directory / "shim"))
    terminal.text(f"the shim: {shim.url} in front of the unix socket")
    terminal.text(f"the image: {image_file.name}, {_IMAGE_SIZE // 1024**2} MiB of random bytes")
    image_hash = hashlib.sha512(image_file.read_bytes()).hexdigest()
    return Stage(environment, directory, image_file, image_hash, server, shim)


def tell_straight(stage: Stage, terminal: Terminal) -> None:
    """Upload to uWSGI itself, and say how it went, whichever way."""
    terminal.heading("1. Straight to uWSGI, by its HTTP socket")
    outcome = _upload(stage, terminal, stage.server.urls["uwsgi-http-socket"], "straight")
    seconds = f"{outcome.upload.seconds:.1f} s"
    if outcome.is_whole:
        terminal.good(f"It worked, in {seconds}. That was not expected of uWSGI's HTTP socket.")
        return
    terminal.bad(f"It failed, in {seconds}: exit status {outcome.upload.status}, {_describe(outcome.state)}.")
    if "HTTP 500" in outcome.upload.output:
        terminal.text(*_WHY_500)


def tell_through(stage: Stage, terminal: Terminal) -> bool:
    """Upload through the shim, and compare; whether the image is active and its bytes are the file's."""
    terminal.heading("2. Through the shim, to the same uWSGI by its native protocol")
    outcome = _upload(stage, terminal, stage.shim.url, "through-the-shim")
    if not outcome.is_whole:
        terminal.bad(f"It failed: exit status {outcome.upload.status}, {_describe(outcome.state)}.")
        _tell_hashes(outcome, terminal)
        terminal.quote(stage.shim.log.read_text(errors="replace").splitlines()[-10:])
        return False
    terminal.good(f"It worked, in {outcome.upload.seconds:.1f} s: {_describe(outcome.state)}, sha512 equal.")
    _tell_hashes(outcome, terminal)
    return True


def stay_up(stage: Stage, terminal: Terminal) -> int:
    """Leave everything running for the person at the terminal; the exit status."""
    terminal.heading("The shim stays up. Ctrl-C ends everything and removes its files.")
    suggest(terminal, stage.environment, stage.image_file, stage.shim.url, stage.shim.admin_url)
    try:
        while stage.server.is_running and stage.shim.is_running:
            time.sleep(_LOOK_PAUSE)
    except KeyboardInterrupt:
        terminal.line("\nEnding uWSGI and the shim.")
        return 0
    gone = "the shim" if stage.server.is_running else "uWSGI"
    log = stage.shim.log if stage.server.is_running else stage.server.log
    terminal.bad(f"{gone} has ended unexpectedly; the end of its log:")
    terminal.quote(log.read_text(errors="replace").splitlines()[-10:])
    return 1


def _upload(stage: Stage, terminal: Terminal, url: str, name: str) -> Outcome:
    image = str(uuid.uuid4())
    command = image_create(url, image, name, str(stage.image_file))
    terminal.command(command)
    upload = run_command(stage.environment, command, log=stage.directory / f"{name}.log")
    terminal.quote(essence(upload.output))
    # Glance's own word on what it has: not through the shim, which is what is being judged.
    state, downloaded = None, None
    with contextlib.suppress(DemoError):
        state = look_up(stage.server.urls["uwsgi-http-socket"], image)
        if state.status == "active":
            downloaded = download_hash(url, image)
    return Outcome(upload, state, stage.image_hash, downloaded)


def _describe(state: ImageState | None) -> str:
    if state is None:
        return "Glance has no such image"
    data = "without data" if state.size is None else f"{state.size:,} bytes"
    return f'Glance has the image as "{state.status}", {data}'


def _tell_hashes(outcome: Outcome, terminal: Terminal) -> None:
    taken = outcome.state.hash_value if outcome.state else None
    hashes = (("the file", outcome.wanted_hash), ("Glance", taken), ("downloaded", outcome.downloaded_hash))
    terminal.facts((f"sha512, {name}", f"{value[:32]}..." if value else "none") for name, value in hashes)
