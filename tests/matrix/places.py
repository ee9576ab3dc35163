"""Where clients go: to each hosting itself, to peers before it, to the shim, and to fronts before that.

Servers live only as long as their rows are measured.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fronts.authority import Authority
from tests.fronts.fronts import FRONTS
from tests.fronts.peers import PEERS
from tests.fronts.ways import NOTHING, open_way
from tests.hosting.hosting import Hosting
from tests.hosting.kinds import KINDS
from tests.hosting.site import Site, Unavailable
from tests.integration.in_process import ensure_python, run_inside

DIRECTLY = "directly"
SHIM = "through the shim"
BEHIND_PEERS = tuple(f"behind {peer}" for peer in PEERS)
BEHIND_FRONTS = tuple(f"{front} + shim" for front in FRONTS)

SHIM_WAYS = (SHIM, *BEHIND_FRONTS)
"""Where everything must be ok."""

FRONTED = "uwsgi-unix"
"""The hosting that stands behind shim and fronts."""

IN_PROCESS = "in the shim's process"

# Names of peers as names of directories.
_PLAIN = str.maketrans({" ": "-", ",": None, '"': None})


@dataclass(frozen=True)
class Place:
    """One row of a table.

    Attributes:
        way: To a hosting.
        url: At its beginning.
        restart: Starts the hosting anew: what hangs there must not hold up the next client.
    """

    way: str
    hosting: str
    url: str
    restart: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Grounds:
    """What all places stand on.

    Attributes:
        folder: For files of peers, shims and fronts.
        lacking: Is told what cannot be had here.
    """

    site: Site
    folder: Path
    authority: Authority
    lacking: list[str]

    def places(self, only: frozenset[str]) -> Iterator[Place]:
        """All places of the hostings in ``only``, or of all; each is open until the next is asked for."""
        for kind in KINDS:
            if not only or kind in only:
                yield from self._of_hosting(kind)
        if not only or IN_PROCESS in only:
            yield from self._in_process()

    def _of_hosting(self, kind: str) -> Iterator[Place]:
        hosting = KINDS[kind](kind, self.site)
        try:
            if hosting.scheme == "http+unix":
                # Clients cannot go to a unix socket: for them alone it listens on TCP.
                on_tcp = KINDS[kind](kind, self.site)
                on_tcp.scheme = "http"
                yield from _while_running(on_tcp, lambda url: iter([(DIRECTLY, url)]))
            yield from _while_running(hosting, lambda url: self._ways(kind, url))
        except Unavailable as lack:
            self.lacking.append(f"{kind}: {lack}")

    def _ways(self, kind: str, upstream: str) -> Iterator[tuple[str, str]]:
        """By name, the URLs that lead to a hosting."""
        if upstream.startswith("http://"):
            yield DIRECTLY, upstream
        for name, peer in PEERS.items():
            if peer.fits(upstream):
                url, service = peer.start(self.folder / f"{kind}-{name.translate(_PLAIN)}", upstream)
                with service:
                    yield f"behind {name}", url
        fronts = [name for name in FRONTS if FRONTS[name].is_installed] if kind == FRONTED else []
        for name in (NOTHING, *fronts):
            way = SHIM if name == NOTHING else f"{name} + shim"
            with open_way(name, self.folder / f"{kind}-{name}", self.authority, upstream) as opened:
                yield way, opened.url

    def _in_process(self) -> Iterator[Place]:
        with contextlib.ExitStack() as stack:
            try:
                python = ensure_python(self.site.environment)
            except pytest.skip.Exception as lack:
                self.lacking.append(f"{IN_PROCESS}: {lack}")
                return
            shim = stack.enter_context(run_inside(self.folder / "in-process", python, self.site.glance))
            yield Place(SHIM, IN_PROCESS, f"http://127.0.0.1:{shim.port}")


def _while_running(hosting: Hosting, ways: Callable[[str], Iterator[tuple[str, str]]]) -> Iterator[Place]:
    """The places that ``ways`` finds at a hosting's URL; it is ended after the last."""

    def restart() -> None:
        hosting.stop(grace=1.0)
        _start(hosting)

    _start(hosting)
    with hosting:
        for way, url in ways(hosting.url):
            yield Place(way, hosting.name, url, restart)


def _start(hosting: Hosting) -> None:
    hosting.start()
    if "+unix://" in hosting.url:
        # Apache is a user of its own; in production it is in the socket's group.
        Path(hosting.url.partition("://")[2]).chmod(0o666)
