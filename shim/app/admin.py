"""The admin listener: health, readiness, metrics, live uploads and the status page.

It listens on an address of its own, so that nothing of it can be reached through the proxied one.
"""

import importlib.resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shim import __version__
from shim.admission.drain import Drain
from shim.app.health import HealthWatch
from shim.app.metrics import render_metrics
from shim.errors import DiskError
from shim.observe.journal import Journal, Record
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
    """The admin pages over the parts they show."""

    def __init__(self, drain: Drain, store: Store, journal: Journal, health: HealthWatch) -> None:
        self._drain = drain
        self._store = store
        self._journal = journal
        self._health = health

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                Route("/status.json", self._status),
                Route("/uploads", self._uploads),
            ]
        )

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(_PAGE.read_text("utf-8"), headers=_PAGE_HEADERS)

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _request: Request) -> Response:
        readiness = await self._health.readiness()
        if readiness.ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("".join(f"not ready: {fault}\n" for fault in readiness.faults), 503)

    async def _metrics(self, _request: Request) -> Response:
        text = render_metrics(
            self._journal,
            self._store,
            await self._space(),
            await self._health.servers(),
            self._health.queues(),
        )
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _uploads(self, _request: Request) -> Response:
        return JSONResponse([self._describe(record) for record in self._journal.live() if record.has_body])

    async def _status(self, _request: Request) -> Response:
        space = await self._space()
        readiness = await self._health.readiness()
        return JSONResponse(
            {
                "version": __version__,
                "life": self._drain.life.value,
                "ready": readiness.ready,
                "faults": list(readiness.faults),
                "spool": {
                    "held": self._store.held,
                    "limit": None if self._store.limit == UNLIMITED else self._store.limit,
                    "files": self._store.files,
                    "disk_free": space.free if space else None,
                    "disk_total": space.total if space else None,
                },
                "requests": self._journal.counters.requests.total(),
                "refusals": dict(self._journal.counters.refusals),
                "servers": [
                    {
                        "upstream": server.upstream,
                        "server": str(server.address),
                        "inflight": server.inflight,
                        "slots": None if server.slots == UNLIMITED else server.slots,
                        "up": server.health.up,
                        "reason": server.health.reason,
                    }
                    for server in await self._health.servers()
                ],
                "waiting": self._health.queues(),
                "uploads": [self._describe(record) for record in self._journal.live() if record.has_body],
            }
        )

    async def _space(self) -> Space | None:
        """None where the disk does not answer: that is when these pages are needed most."""
        try:
            return await self._store.space()
        except DiskError:
            return None

    def _describe(self, record: Record) -> dict[str, Any]:
        age = self._journal.age(record)
        return {
            "id": record.id,
            "method": record.method,
            "path": record.path,
            "project": record.project,
            "image": record.image,
            "bytes": record.received,
            "length": record.length,
            "rate": record.received / age if age else 0.0,
            "phase": record.phase,
            "age": age,
        }
