"""The short way as the server finds it: heads in, ``ShortRequest`` out, and errors left to the ordinary way.

Offered where nobody takes notes of requests (``Notes``): those read the whole ASGI scope.
"""

import logging
from collections.abc import Mapping
from typing import Any

from shim.asgi import Fields
from shim.errors import ShimError
from shim.proxy.flow import Proxy
from shim.proxy.onward import SharedFields
from shim.proxy.short import ShortHead, ShortRequest, begin_short, is_usual
from shim.short_way import ShortClient
from shim.wire.peer import TrustedProxies, peer_of

log = logging.getLogger("shim.app")


class ShortRequests:
    """A ``ShortWay``."""

    def __init__(self, proxy: Proxy, trusted: TrustedProxies) -> None:
        self._proxy = proxy
        self._trusted = trusted

    def terms(self, headers: Fields, ends: Mapping[str, Any]) -> "Terms | None":
        """What requests with these fields have in common; None where a field asks for more than to go on."""
        fields = tuple(headers)
        if not is_usual(fields):
            return None
        client = ends["client"]
        address = client[0] if client and client[0] else None
        peer = peer_of(address, ends["scheme"], fields, self._trusted)
        return Terms(self._proxy, SharedFields(fields, peer, tuple(ends["server"] or ("localhost", None))))


class Terms:
    """A ``ShortTerms``."""

    __slots__ = ("_proxy", "_shared")

    def __init__(self, proxy: Proxy, shared: SharedFields) -> None:
        self._proxy = proxy
        self._shared = shared

    def begin(
        self, method: str, target: bytes, client: ShortClient, *, has_framing: bool, length: int | None
    ) -> ShortRequest | None:
        """Begin a request, or leave it to the ordinary way."""
        try:
            return begin_short(
                self._proxy,
                self._shared,
                ShortHead(method, target, client, has_framing=has_framing, length=length),
            )
        except ShimError:
            # Nothing was done, and the ordinary way comes to the same, and answers it.
            return None
        except Exception:
            log.exception("A request did not find the short way, for a fault of the shim")
            return None
