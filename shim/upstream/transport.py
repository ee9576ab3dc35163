"""An upstream as an httpx transport: httpx's interface over our own connections, so unix sockets too.

For the console, which asks a shim's admin listener: bodies are small and held in memory. Requests do not
pass here, for httpx costs them 25 to 60 times as much (measured); questions of the shim go by ``question``.
"""

import contextlib
from collections.abc import AsyncIterator

import httpx

from shim.errors import (
    ConnectTimeout,
    NoDescriptor,
    ResponseTimeout,
    SendTimeout,
    UpstreamFault,
    UpstreamRefused,
)
from shim.upstream.answer import no_interim
from shim.upstream.exchange import Response
from shim.upstream.group import Upstream
from shim.upstream.message import BytesBody, UpstreamRequest
from shim.wire.headers import HOP_BY_HOP


class UpstreamTransport(httpx.AsyncBaseTransport):
    """Carries httpx requests to an ``Upstream``; the URL's host becomes the Host field only."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises httpx's own transport errors, as its callers expect."""
        data = await request.aread()
        has_body = bool(data) or "content-length" in request.headers
        message = UpstreamRequest(
            method=request.method,
            target=request.url.raw_path,
            headers=_fields(request),
            body=BytesBody(data) if has_body else None,
            mount=self._upstream.mount,
            server=(request.url.host, request.url.port),
        )
        stack = contextlib.AsyncExitStack()
        try:
            response = await stack.enter_async_context(
                self._upstream.exchange(message, interim=no_interim, enter=lambda _phase: None)
            )
        except UpstreamFault as error:
            raise _httpx_error(error, request) from error
        return httpx.Response(
            response.status,
            headers=list(response.headers),
            stream=_ResponseStream(response, stack, request),
            extensions={"reason_phrase": response.reason},
        )

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._upstream.close()


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: Response, stack: contextlib.AsyncExitStack, request: httpx.Request) -> None:
        self._response = response
        self._stack = stack
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with contextlib.aclosing(self._response.pieces()) as pieces:
                async for piece in pieces:
                    yield bytes(piece)
        except UpstreamFault as error:
            raise _httpx_error(error, self._request) from error

    async def aclose(self) -> None:
        await self._stack.aclose()


def _fields(request: httpx.Request) -> list[tuple[bytes, bytes]]:
    framing = HOP_BY_HOP | {b"content-length"}
    fields = [(name.lower(), value) for name, value in request.headers.raw]
    return [(name, value) for name, value in fields if name not in framing]


def _httpx_error(error: UpstreamFault, request: httpx.Request) -> httpx.TransportError:
    kinds: dict[type[UpstreamFault], type[httpx.TransportError]] = {
        UpstreamRefused: httpx.ConnectError,
        NoDescriptor: httpx.ConnectError,
        ConnectTimeout: httpx.ConnectTimeout,
        SendTimeout: httpx.WriteTimeout,
        ResponseTimeout: httpx.ReadTimeout,
    }
    kind = kinds.get(type(error), httpx.RemoteProtocolError)
    return kind(error.for_operator, request=request)
