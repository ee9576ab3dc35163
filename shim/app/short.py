"""The short way as the server finds it: heads in, ``ShortRequest`` out, and errors left to the ordinary way.

Offered where nobody takes notes of requests (``Notes``): those read the whole ASGI scope.
"""

import logging
from collections.abc import Mapping
from typing import Any

from shim.asgi import Fields, Message, ShortClient
from shim.errors import ShimError
from shim.observe.journal import Journal
from shim.proxy.flow import Proxy
from shim.proxy.request import ClientRequest
from shim.proxy.short import ShortRequest, begin_short
from shim.wire.forwarding import TrustedProxies, client_group, peer_of, request_id
from shim.wire.framing import NOTHING

log = logging.getLogger("shim.app")


class ShortRequests:
    """A ``ShortWay``."""

    def __init__(self, proxy: Proxy, journal: Journal, trusted: TrustedProxies) -> None:
        self._proxy = proxy
        self._journal = journal
        self._trusted = trusted

    def begin(
        self, method: str, target: bytes, headers: Fields, ends: Mapping[str, Any], client: ShortClient
    ) -> ShortRequest | None:
        """Begin a request, or leave it to the ordinary way."""
        try:
            return self._begin(method, target, tuple(headers), ends, client)
        except ShimError:
            # Nothing was done, and the ordinary way comes to the same, and answers it.
            return None
        except Exception:
            log.exception("A request did not find the short way, for a fault of the shim")
            return None

    def _begin(
        self,
        method: str,
        target: bytes,
        headers: tuple[tuple[bytes, bytes], ...],
        ends: Mapping[str, Any],
        client: ShortClient,
    ) -> ShortRequest | None:
        address = ends["client"]
        peer = peer_of(address[0] if address and address[0] else None, ends["scheme"], headers, self._trusted)
        record = self._journal.make(
            id=request_id(headers),
            method=method,
            path=target.partition(b"?")[0].decode("ascii", "backslashreplace"),
            client=peer.client,
        )
        record.project = client_group(peer.client)
        request = ClientRequest(
            id=record.id,
            method=method,
            target=target,
            http_version="1.1",
            headers=headers,
            framing=NOTHING,
            peer=peer,
            client=record.client,
            server=tuple(ends["server"] or ("localhost", None)),
            receive=_nothing_to_receive,
        )
        return begin_short(self._proxy, request, record, client)


async def _nothing_to_receive() -> Message:
    raise RuntimeError("A request on the short way has nobody to receive from.")
