"""The proxy as an ASGI application: scope in, answer out, and every error answered in one place."""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from shim.app.answers import CLIENT_GONE, answer_error
from shim.app.notes import Notes
from shim.app.stopping import Stoppable
from shim.asgi import Inbound, Receive, Scope, Send, inbound_of
from shim.errors import CUT_OFF, ClientGone, Draining, ShimError
from shim.observe.journal import Journal, Record
from shim.proxy.flow import Proxy
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.short import ShortRequest
from shim.short_way import ShortWay
from shim.wire.framing import CHUNKED, NOTHING, Framing, request_framing
from shim.wire.headers import Headers
from shim.wire.identity import request_id
from shim.wire.peer import Peer, TrustedProxies, client_group, peer_of

log = logging.getLogger("shim.app")


class ProxyApplication:
    """Serves the proxied listener under any ASGI server; under our own with what it offers beyond."""

    def __init__(
        self,
        proxy: Proxy,
        journal: Journal,
        trusted: TrustedProxies,
        notes: Notes | None = None,
        short_way: ShortWay | None = None,
    ) -> None:
        self._proxy = proxy
        self._journal = journal
        self._trusted = trusted
        self._notes = notes
        self.short_way = short_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; only HTTP requests are served."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            # A websocket upgrade is a request like any other here: our server never makes one of it.
            raise RuntimeError(f"{scope['type']!r} is not served.")
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        offer = inbound_of(scope)
        headers = _headers(scope, offer)
        if offer is not None and isinstance(short := offer.under_way, ShortRequest):
            answer = Answer(send, offer.move_answer)
            with self._journal.kept(short.record) as record:
                rest = short.go_on(receive, offer.watch_client, answer)
                await _answered(rest, answer, headers, record)
            return
        peer = self._peer(scope, headers)
        path = scope.get("raw_path") or scope["path"].encode()
        with self._journal.record(
            id=request_id(headers),
            method=scope["method"],
            path=path.decode("ascii", "backslashreplace"),
            client=peer.client,
        ) as record:
            record.project = client_group(peer.client)
            if self._notes is not None:
                target = _target(scope) if offer is None else offer.target
                headers = self._notes.take(record, scope, target, headers)
            answer = Answer(send, None if offer is None else offer.move_answer)
            make_request = functools.partial(_request, scope, offer, receive, record, headers, peer)
            await _answered(self._in_ordinary_way(make_request, answer, record), answer, headers, record)

    async def _in_ordinary_way(
        self, make_request: Callable[[], ClientRequest], answer: Answer, record: Record
    ) -> None:
        # Made in here, where what is raised is answered: a refused head is no request.
        await self._proxy.serve(make_request(), answer, record)

    def _peer(self, scope: Scope, headers: Headers) -> Peer:
        client = scope.get("client")
        address = client[0] if client and client[0] else None
        return peer_of(address, scope.get("scheme", "http"), headers, self._trusted)


def _headers(scope: Scope, offer: Inbound | None) -> Headers:
    if offer is not None:
        # Parsed by our own grammar, their names in lower case already.
        return tuple(scope["headers"])
    return tuple((name.lower(), value) for name, value in scope["headers"])


def _request(  # noqa: PLR0917 - what a request is made of
    scope: Scope, offer: Inbound | None, receive: Receive, record: Record, headers: Headers, peer: Peer
) -> ClientRequest:
    if offer is not None and offer.refusal is not None:
        raise offer.refusal
    return ClientRequest(
        id=record.id,
        method=scope["method"],
        target=_target(scope) if offer is None else offer.target,
        http_version=scope["http_version"],
        headers=headers,
        framing=_framing(scope["http_version"], headers),
        peer=peer,
        client=record.client,
        server=tuple(scope.get("server") or ("localhost", None)),
        receive=receive,
        take_over=None if offer is None else offer.take_over,
        watch_client=None if offer is None else offer.watch_client,
        receive_now=None if offer is None else offer.receive_now,
    )


async def _answered(
    work: Coroutine[Any, Any, None], answer: Answer, headers: Headers, record: Record
) -> None:
    """Do a request's work; what it fails with is answered, and told in its record."""
    try:
        with Stoppable() as block:
            record.stop = block.stop
            await work
    except asyncio.CancelledError:
        record.code, record.detail = Draining.code, CUT_OFF
        raise
    except ShimError as error:
        # One that has all of its answer may go as it likes.
        if not (isinstance(error, ClientGone) and answer.is_given(record.sent)):
            await _conclude(error, answer, headers, record)
    except Exception:
        log.exception("Request %s failed for a fault of the shim", record.id)
        await _conclude(ShimError("The proxy failed; its log says why."), answer, headers, record)


async def _conclude(error: ShimError, answer: Answer, headers: Headers, record: Record) -> None:
    """End a failed request: with an answer where that is still possible, else by letting the server cut."""
    record.code, record.detail = error.code, error.for_operator
    if isinstance(error, ClientGone):
        record.status = record.status or CLIENT_GONE
        raise error
    if answer.has_begun:
        raise error
    own = answer_error(error, headers, record.id)
    record.status = own.status
    await answer.begin(own.status, own.headers)
    await answer.end(own.body)


def _framing(http_version: str, headers: Headers) -> Framing:
    framing = request_framing("1.0" if http_version == "1.0" else "1.1", headers)
    if framing is NOTHING and http_version not in ("1.0", "1.1"):
        # HTTP/2 has frames of its own and needs no header: a body is what receive() gives.
        return CHUNKED
    return framing


def _target(scope: Scope) -> bytes:
    """The request target as far as ASGI tells it."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
