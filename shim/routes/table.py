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
        methods = frozenset().union(*(route.methods for route in self.routes))
        self._by_method = {method: self._taking(method) for method in methods}
        self._by_others = self._taking(None)

    @property
    def in_order(self) -> tuple[Route, ...]:
        """All routes as they are tried, the one for the rest last."""
        return self.routes if self._fallback is None else (*self.routes, self._fallback)

    def find(self, method: str, raw_path: bytes, headers: Headers = (), size: int | None = None) -> Route:
        """The route of a request; see ``Route.miss``.

        Raises:
            NoUpstream: No route matches, and there is no single upstream to fall back to.
        """
        # Of Glance's four routes a GET is not asked of the two for PUT, which it would miss first of all.
        for route in self._by_method.get(method, self._by_others):
            if route.miss(method, raw_path, headers, size) is None:
                return route
        if self._fallback is None:
            raise NoUpstream("No route leads anywhere for this request.")
        return self._fallback

    def _taking(self, method: str | None) -> tuple[Route, ...]:
        """The routes that take a method; of one that none of them names (None) those that take all."""
        return tuple(route for route in self.routes if not route.methods or method in route.methods)
