"""All hostings by name, and the ones of a test session: each started when it is first asked for."""

import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from tests.hosting.gunicorn import Gunicorn, GunicornThreads
from tests.hosting.hosting import Hosting
from tests.hosting.mod_wsgi import ModWsgiChunked, ModWsgiDaemon, ModWsgiEmbedded
from tests.hosting.site import Site
from tests.hosting.tasks import tasks_under_way
from tests.hosting.uwsgi import Uwsgi, UwsgiHttpRouter, UwsgiHttpSocket, UwsgiTcp
from tests.support.wire import Hang, eventually

KINDS: dict[str, type[Hosting]] = {
    "uwsgi-unix": Uwsgi,
    "uwsgi-tcp": UwsgiTcp,
    "uwsgi-http-socket": UwsgiHttpSocket,
    "uwsgi-http-router": UwsgiHttpRouter,
    "gunicorn": Gunicorn,
    "gunicorn-gthread": GunicornThreads,
    "mod-wsgi-daemon": ModWsgiDaemon,
    "mod-wsgi-daemon-chunked": ModWsgiChunked,
    "mod-wsgi-embedded": ModWsgiEmbedded,
}


class Hostings(Mapping[str, str]):
    """Upstream URLs by kind, of servers that serve one site; the first question starts a server."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._running: dict[str, Hosting] = {}
        self._given_up: set[str] = set()
        self._stack = contextlib.ExitStack()

    def hosting(self, kind: str) -> Hosting:
        """The running server of a kind.

        Raises:
            DemoError: It did not start.
            Unavailable: This machine lacks something for it.
        """
        if kind not in self._running:
            hosting = KINDS[kind](kind, self.site)
            self._running[kind] = self._stack.enter_context(hosting)
        return self._running[kind]

    def tasks_under_way(self) -> set[str]:
        """The tasks of Glance that have not ended, whichever server runs them."""
        logs = (hosting.log_text() for hosting in self._running.values())
        return set().union(*map(tasks_under_way, logs)) - self._given_up

    def await_tasks(self, patience: float) -> None:
        """Until all tasks have ended.

        Raises:
            Hang: One has not within so many seconds; it is not waited for again, or each later test would.
        """
        try:
            eventually(lambda: not self.tasks_under_way(), "Glance's tasks have ended", patience)
        except Hang:
            self._given_up |= self.tasks_under_way()
            raise

    def __getitem__(self, kind: str) -> str:
        return self.hosting(kind).url

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All at once, for each takes seconds to end.
        for hosting in self._running.values():
            hosting.ask_to_end()
        self._stack.close()
