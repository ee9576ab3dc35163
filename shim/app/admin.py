"""The admin listener: health, readiness, metrics, live uploads and the status page.

It listens on an address of its own, so that nothing of it can be reached through the proxied one.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shim.app.audit import who
from shim.app.colleagues import WorkerSilent
from shim.app.drains import DrainBoard
from shim.app.feed import Feed
from shim.app.help import help_routes
from shim.app.page import StatusPage
from shim.app.servers import ServerPages
from shim.app.streaming import EventStream
from shim.app.view import View
from shim.asgi import abort_of
from shim.cloud.server import CloudAway

_RETRY_LISTENING = "10"


class Admin:
    """The admin pages over the view of all parts; of what workers count, they show the sum over all."""

    def __init__(self, view: View, feed: Feed, board: DrainBoard | None = None) -> None:
        """Take what is shown, as it is and as it changes, and what servers are taken out by."""
        self._view = view
        self._servers = ServerPages(board or DrainBoard({}), view.announce, view.servers)
        self._feed = feed
        self._page = StatusPage()

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                *self._servers.routes(),
                Route("/", self._show_page),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                Route("/status.json", self._status),
                Route("/events", self._events),
                Route("/uploads", self._uploads),
                Route("/uploads/{upload}/cancel", self._cancel, methods=["POST"]),
                *help_routes(),
            ]
        )

    async def _show_page(self, _request: Request) -> Response:
        return HTMLResponse(self._page.text, headers=self._page.headers)

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _request: Request) -> Response:
        readiness, cloud_fault = await self._view.readiness()
        if readiness.ready:
            return PlainTextResponse(f"ready\n{cloud_fault}\n" if cloud_fault else "ready\n")
        return PlainTextResponse("".join(f"not ready: {fault}\n" for fault in readiness.faults), 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(await self._view.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _uploads(self, request: Request) -> Response:
        if request.query_params.get("scope") != "all":
            return JSONResponse(await self._view.uploads())
        try:
            return JSONResponse(await self._view.all_uploads())
        except CloudAway as error:
            return PlainTextResponse(f"limits.shared is away: {error}\n", 503)

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(await self._view.now())

    async def _events(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._feed.is_full:
            text = "503: as many are watching as may; close a page\n"
            return PlainTextResponse(text, 503, {"Retry-After": _RETRY_LISTENING})
        return EventStream(self._feed.events(), abort_of(request.scope))

    async def _cancel(self, request: Request) -> Response:
        """End one upload, named by its key, or by its request id where only one has that."""
        name = request.path_params["upload"]
        found = [upload for upload in await self._view.uploads() if name in (upload["key"], upload["id"])]
        if len(found) > 1:
            # A request id may be the client's own choice: it must not lead to somebody else's upload.
            keys = ", ".join(upload["key"] for upload in found)
            return _told(409, f"{len(found)} uploads have this id; name one by its key: {keys}")
        try:
            is_ended = bool(found) and await self._view.cancel(found[0]["key"], who(request.scope))
        except WorkerSilent:
            return _told(503, "its worker did not answer; it may still be ended")
        if not is_ended:
            return _told(404, "no such upload is under way (any more)")
        return JSONResponse(found[0] | {"result": "cancelled"}, 202)


def _told(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status)
