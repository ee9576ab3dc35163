"""The route table: the first route that matches wins, and there is always one."""

from collections.abc import Sequence

from shim.errors import NoUpstream
from shim.routes.route import Route
from shim.wire.headers import Headers


class RouteTable:
    """Routes in the order they are tried."""

    def __init__(self, routes: Sequence[Route], *, fallback: Route | None = None) -> None:
        """Take the routes, and where requests go that none of them matches (None: they are refused)."""
        self.routes = tuple(routes)
        self._fallback = fallback

    @property
    def in_order(self) -> tuple[Route, ...]:
        """All routes as they are tried, the one for the rest last."""
        return self.routes if self._fallback is None else (*self.routes, self._fallback)

    def find(self, method: str, raw_path: bytes, headers: Headers = (), size: int | None = None) -> Route:
        """The route of a request; see ``Route.miss``.

        Raises:
            NoUpstream: No route matches, and there is no single upstream to fall back to.
        """
        for route in self.routes:
            if route.matches(method, raw_path, headers, size):
                return route
        if self._fallback is None:
            raise NoUpstream("No route leads anywhere for this request.")
        return self._fallback
