"""Several Glances behind one shim, of which one is killed every now and then while many upload.

``python -m tests.hosting.killed_servers`` counts what the clients saw. Each Glance is a uWSGI of its own, on
one database and one file store; a killed one (SIGKILL, master and workers) is started again. An upload may
fail only where it was in the server that died, and then its answer has to tell the image's state.
"""

import argparse
import contextlib
import hashlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from shim.config.units import parse_size
from shim.demo.environment import Environment, ensure_environment
from shim.demo.glance import Glance
from shim.demo.hosting import Application, Server, start_server
from tests.hosting.apache import public_directory
from tests.hosting.postgres import running_database
from tests.integration.images import Images
from tests.integration.programs import TOKEN
from tests.support.client import LAST, Answer, BadAnswer, Client, NoAnswer, chunk, head
from tests.support.shim import Shim

MIB = 1 << 20
PATIENCE = 300.0
"""Seconds that one step of an upload may take on a busy machine."""
STATE = re.compile(r"image .*\b(stuck in '\w+'|still queued|'active')")
"""What an answer says of the image."""


@dataclass
class Servers:
    """The Glances, each on a socket that stays its own when it is started anew."""

    glance: Glance
    variables: dict[str, str]
    count: int
    workers: int
    running: dict[int, Server] = field(default_factory=dict)
    kills: Counter[int] = field(default_factory=Counter)

    def start(self, number: int) -> None:
        """Start one, and wait until it answers."""
        application = Application(
            environment=self.glance.environment,
            directory=self.glance.directory,
            name=f"glance-{number}",
            module="glance.wsgi.api:application",
            variables=self.variables,
        )
        self.running[number] = start_server(
            application, ["uwsgi-unix"], workers=self.workers, threads=1, arguments=["--socket-timeout", "60"]
        )

    def kill(self, number: int) -> None:
        """Kill one with all its processes, at once, and start it anew."""
        server = self.running.pop(number)
        os.killpg(server.pid, signal.SIGKILL)
        server.stop()
        self.kills[number] += 1
        self.start(number)

    @property
    def urls(self) -> list[str]:
        """Where the shim finds them."""
        return [self.running[number].url for number in range(self.count)]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Start all at once; end those that run at the end of the block."""
        # A program ends with the thread that started it: these live as long as the block.
        with ThreadPoolExecutor(self.count) as starters, contextlib.ExitStack() as stack:
            stack.callback(lambda: [server.stop() for server in self.running.values()])
            list(starters.map(self.start, range(self.count)))
            yield


@dataclass(frozen=True)
class Outcome:
    """What one upload was answered.

    Attributes:
        answer: None where there was none.
        told: In words.
    """

    image: str
    digest: str
    answer: Answer | None
    told: str

    @property
    def kind(self) -> str:
        """Stored, broken with its server (and told so), or an error that should not be."""
        if self.answer is None or not self.answer.complete:
            return "wrong"
        if self.answer.status == 204:
            return "stored"
        if self.answer.status == 502 and STATE.search(self.told):
            return "broken"
        return "wrong"


def upload(port: int, image: str, number: int, size: int) -> Outcome:
    """One upload in chunks, of bytes that are its own."""
    source = random.Random(number)
    digest = hashlib.sha512()
    fields = [
        "Transfer-Encoding: chunked",
        f"X-Auth-Token: {TOKEN}",
        "Content-Type: application/octet-stream",
    ]
    with Client(("127.0.0.1", port), patience=PATIENCE) as client:
        try:
            client.send(head("PUT", f"/v2/images/{image}/file", *fields))
            for _ in range(size // MIB):
                piece = source.randbytes(MIB)
                digest.update(piece)
                client.send(chunk(piece))
            client.send(LAST)
            answer = client.answer("PUT")
        except (NoAnswer, BadAnswer, OSError) as failure:
            return Outcome(image, "", None, f"{type(failure).__name__}: {failure}"[:200])
    told = answer.body.decode(errors="replace") if answer.status != 204 else ""
    return Outcome(image, digest.hexdigest(), answer, f"{answer.status} {told}"[:600])


def kill_in_turn(servers: Servers, every: float, uploads: Sequence[Future[Outcome]]) -> None:
    """Kill one server after the other, one each ``every`` seconds, until all uploads are over."""
    turn = 0
    while wait(uploads, timeout=every).not_done:
        servers.kill(turn % servers.count)
        turn += 1


def run_uploads(servers: Servers, shim: Shim, given: argparse.Namespace) -> list[Outcome]:
    """All uploads, some at a time, while servers are killed."""
    images = Images(f"http://127.0.0.1:{shim.port}", servers.glance.directory / "images")
    with ThreadPoolExecutor(given.at_once) as clients:
        made = list(clients.map(lambda _number: images.create(), range(given.count)))
        uploads = [
            clients.submit(upload, shim.port, image, number, given.size) for number, image in enumerate(made)
        ]
        kill_in_turn(servers, given.every, uploads)
        return list(clients.map(lambda upload: judged(images, upload.result()), uploads))


def judged(images: Images, outcome: Outcome) -> Outcome:
    """The same; wrong, where Glance has something else than the answer said."""
    state = images.state(outcome.image)
    if outcome.kind == "stored" and (state.status, state.hash_value) != ("active", outcome.digest):
        return Outcome(outcome.image, outcome.digest, None, f"answered 204, but the image is {state}")
    if outcome.kind == "broken" and state.status == "active" and state.hash_value != outcome.digest:
        return Outcome(outcome.image, outcome.digest, None, f"broken, but the image is {state}")
    return outcome


# -- the command --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, and print what the clients saw; 1 where any of them saw what it should not."""
    given = _parse(arguments)
    # Whoever ends it early finds nothing left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    environment = ensure_environment()
    with (
        public_directory("killed") as directory,
        _glances(directory, environment, given) as servers,
        _shim(directory / "shim", servers, given.settings) as shim,
    ):
        began = time.monotonic()
        try:
            outcomes = run_uploads(servers, shim, given)
        except BaseException as failure:
            failure.add_note(shim.log_text()[-5000:])
            for server in servers.running.values():
                failure.add_note(f"{server.log}:\n{server.log.read_text(errors='replace')[-3000:]}")
            raise
        _report(given, servers, shim, outcomes, time.monotonic() - began)
    return 1 if any(outcome.kind == "wrong" for outcome in outcomes) else 0


@contextlib.contextmanager
def _glances(directory: Path, environment: Environment, given: argparse.Namespace) -> Iterator[Servers]:
    with running_database(directory, environment, given.driver) as database:
        modules = directory / "glance" / "modules"
        modules.parent.mkdir()
        # Where Glance looks for its own too; its database is made with it.
        modules.symlink_to(database.modules, target_is_directory=True)
        settings = {"database": {"connection": database.connection}}
        with Glance.make(directory / "glance", environment=environment, settings=settings) as glance:
            servers = Servers(glance, dict(glance.variables()), given.servers, given.workers)
            with servers.serving():
                yield servers


def _shim(folder: Path, servers: Servers, settings: Sequence[str]) -> Shim:
    given = {
        "upstream": None,
        "body": None,
        "service": None,
        "timeouts.connect_retry": None,
        "upstreams.glance.servers": servers.urls,
        "upstreams.glance.max_inflight": servers.workers,
        "upstreams.glance.probe": "2s",
        **dict(setting.split("=", 1) for setting in settings),
    }
    return Shim(folder, given)


def _report(
    given: argparse.Namespace, servers: Servers, shim: Shim, outcomes: Sequence[Outcome], seconds: float
) -> None:
    kinds = Counter(outcome.kind for outcome in outcomes)
    resent = shim.log_text().count("Sent again in")
    failures = {
        dict(labels)["server"].rpartition("/")[2]: int(value)
        for (name, labels), value in shim.metrics().items()
        if name == "glance_shim_upstream_failures_total"
    }
    _say(f"{given.count} uploads of {given.size // MIB} MiB in {seconds:.0f} s, {given.at_once} at a time")
    _say(f"{servers.kills.total()} servers killed, one every {given.every:g} s")
    _say(f"{kinds['stored']} stored and of the right hash, {resent} attempts of them sent again")
    _say(f"{kinds['broken']} broken in a server that died, each told the image's state")
    _say(f"{kinds['wrong']} other")
    _say(f"failed attempts by server: {failures}")
    for outcome in outcomes:
        if outcome.kind != "stored":
            _say(f"  {outcome.kind} {outcome.image}: {outcome.told}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="uploads in all")
    parser.add_argument("--size", type=parse_size, default="64MiB", help="of each upload")
    parser.add_argument("--at-once", type=int, default=8, help="uploads under way")
    parser.add_argument("--servers", type=int, default=3, help="how many Glances there are")
    parser.add_argument("--workers", type=int, default=2, help="of each; the shim sends it as many at once")
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills")
    parser.add_argument("--driver", type=Path, help="where psycopg2 is, if it is not to be installed anew")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="an option of the shim")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
