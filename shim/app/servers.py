"""The servers on the admin listener: how each stands, and an operator's taking one out or back.

Who may do that ``guard`` says; what was done ``audit`` writes down, with who asked for it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shim.app.drains import DrainBoard
from shim.app.health import ServerHealth
from shim.observe.snapshot import Snapshot
from shim.timing import UNLIMITED

Announce = Callable[[], Awaitable[int]]
Describe = Callable[[], Awaitable[list[dict[str, Any]]]]


class ServerPages:
    """``/servers``, and what is posted below it."""

    def __init__(self, board: DrainBoard, announce: Announce, describe: Describe) -> None:
        """Take what drains servers, what has the others hear of it, and who describes all servers."""
        self._board = board
        self._announce = announce
        self._describe = describe

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/servers", self._show),
            Route("/servers/drain", self._drain, methods=["POST"]),
            Route("/servers/restore", self._restore, methods=["POST"]),
        ]

    async def _show(self, _request: Request) -> Response:
        return JSONResponse(await self._describe())

    async def _drain(self, request: Request) -> Response:
        return await self._change(request, drained=True)

    async def _restore(self, request: Request) -> Response:
        return await self._change(request, drained=False)

    async def _change(self, request: Request, *, drained: bool) -> Response:
        """Change one server, everywhere it is a server, or in the upstream that is named."""
        server, upstream = request.query_params.get("server", ""), request.query_params.get("upstream")
        found = self._board.find(server, upstream)
        if not found:
            known = ", ".join(row["server"] for row in await self._describe())
            text = f"there is no server {server!r}; name it in the query, as in ?server=URL, of: {known}"
            return JSONResponse({"error": text}, 404)
        try:
            for name in found:
                self._board.put(name, server, drained=drained)
        except OSError as error:
            text = f"nothing was changed, for the other workers cannot be told: {error.strerror}"
            return JSONResponse({"error": text}, 500)
        silent = await self._announce()
        rows = [row for row in await self._describe() if row["server"] == server and row["upstream"] in found]
        # One that did not answer at once looks within seconds by itself.
        return JSONResponse({"servers": rows, "workers_not_told_yet": silent})


def describe_server(server: ServerHealth, whole: Snapshot) -> dict[str, Any]:
    """One server: as this worker found it, with what all workers have counted."""
    name = str(server.address)
    key = (server.upstream, name)
    return {
        "upstream": server.upstream,
        "server": name,
        "state": server.state,
        "states": {
            state: count
            for (upstream, other, state), count in whole.states.items()
            if (upstream, other) == key
        },
        "inflight": server.inflight,
        "slots": None if server.slots == UNLIMITED else server.slots,
        "weight": server.weight,
        "failures": whole.counters.failures[key],
        "drain_rate": whole.drain_rates.get(key),
        "up": server.health.up,
        "reason": server.health.reason,
    }
