"""The admin listener: health, readiness, metrics, live uploads and the status page.

It listens on an address of its own, so that nothing of it can be reached through the proxied one.
"""

import importlib.resources
from dataclasses import asdict, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shim import __version__
from shim.app.colleagues import Alone
from shim.app.drains import DrainBoard
from shim.app.everywhere import Everywhere
from shim.app.health import HealthWatch, ServerHealth
from shim.app.help import help_routes
from shim.app.metrics import render_metrics
from shim.app.servers import ServerPages, describe_server
from shim.cloud.server import CloudAway
from shim.errors import DiskError
from shim.observe.cloud import CloudView
from shim.observe.snapshot import Snapshot
from shim.spool.disk import Space
from shim.spool.store import Store
from shim.timing import UNLIMITED

_PAGE = importlib.resources.files("shim.app") / "status.html"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Admin:
    """The admin pages over the parts they show; of what workers count, they show the sum over all."""

    def __init__(
        self,
        store: Store,
        health: HealthWatch,
        colleagues: Alone,
        everywhere: Everywhere | None = None,
        board: DrainBoard | None = None,
    ) -> None:
        """Take what is shown, and what servers are taken out by (None: nothing is to be changed here)."""
        self._store = store
        self._health = health
        self._colleagues = colleagues
        self._everywhere = everywhere or Everywhere(colleagues)
        self._board = board or DrainBoard({})

    def application(self) -> Starlette:
        """The ASGI application."""
        servers = ServerPages(self._board, self._colleagues, self._describe_servers)
        return Starlette(
            routes=[
                *servers.routes(),
                Route("/", self._page),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                Route("/status.json", self._status),
                Route("/uploads", self._uploads),
                *help_routes(),
            ]
        )

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(_PAGE.read_text("utf-8"), headers=_PAGE_HEADERS)

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _request: Request) -> Response:
        whole = await self._colleagues.whole()
        readiness = await self._health.readiness(whole.life)
        if readiness.ready:
            return PlainTextResponse(f"ready\n{_told_of(whole.cloud)}")
        return PlainTextResponse("".join(f"not ready: {fault}\n" for fault in readiness.faults), 503)

    async def _metrics(self, _request: Request) -> Response:
        whole = await self._colleagues.whole()
        ready = (await self._health.readiness(whole.life)).ready
        servers = await self._servers(whole)
        text = render_metrics(whole, self._store.limit, await self._space(), servers, ready=ready)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _uploads(self, request: Request) -> Response:
        if request.query_params.get("scope") != "all":
            return JSONResponse((await self._colleagues.whole()).uploads)
        try:
            return JSONResponse(await self._everywhere.uploads())
        except CloudAway as error:
            return PlainTextResponse(f"limits.shared is away: {error}\n", 503)

    async def _status(self, _request: Request) -> Response:
        space = await self._space()
        whole = await self._colleagues.whole()
        readiness = await self._health.readiness(whole.life)
        return JSONResponse(
            {
                "version": __version__,
                "life": whole.life,
                "workers": whole.workers,
                "ready": readiness.ready,
                "faults": list(readiness.faults),
                "spool": {
                    "held": whole.held,
                    "limit": None if self._store.limit == UNLIMITED else self._store.limit,
                    "files": whole.files,
                    "disk_free": space.free if space else None,
                    "disk_total": space.total if space else None,
                },
                "requests": whole.counters.requests.total(),
                "refusals": dict(whole.counters.refusals),
                "servers": [describe_server(server, whole) for server in await self._servers(whole)],
                "waiting": whole.waiting,
                "cloud": None if whole.cloud is None else asdict(whole.cloud),
                "uploads": whole.uploads,
            }
        )

    async def _describe_servers(self) -> list[dict[str, Any]]:
        whole = await self._colleagues.whole()
        return [describe_server(server, whole) for server in await self._servers(whole)]

    async def _servers(self, whole: Snapshot) -> list[ServerHealth]:
        """The servers as this worker found them, with what all workers have in them."""
        return [
            replace(server, inflight=whole.inflight.get((server.upstream, str(server.address)), 0))
            for server in await self._health.servers()
        ]

    async def _space(self) -> Space | None:
        """None where the disk does not answer: that is when these pages are needed most."""
        try:
            return await self._store.space()
        except DiskError:
            return None


def _told_of(cloud: CloudView | None) -> str:
    """What a ready shim adds where limits.shared is away.

    No reason not to be ready: one server that is away would take all shims out at once.
    """
    return "" if cloud is None or cloud.is_there else f"limits.shared is away: {cloud.reason}\n"
