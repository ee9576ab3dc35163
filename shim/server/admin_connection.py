"""A connection to the admin listener: uvicorn's own, which can be cut, and on a unix socket knows its client.

What an operator does is written down with a name; behind a unix socket the kernel knows one. And uvicorn
closes a connection only once all is sent, which to who does not read is never.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shim.asgi import ABORT, LOCAL_PEER
from shim.local_peer import LocalPeer, read_local_peer


class AdminConnection(HttpToolsProtocol):
    """Puts its abort into the scope's extensions, and a ``LocalPeer`` where there is one."""

    _peer: LocalPeer | None  # of ``connection_made``

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who has connected: at that moment, whoever has the socket later."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        self._peer = None if connection is None else read_local_peer(connection)

    def on_message_begin(self) -> None:
        """A request begins: uvicorn makes its scope here."""
        super().on_message_begin()
        offers: dict[str, Any] = {ABORT: self.transport.abort}
        if self._peer is not None:
            offers[LOCAL_PEER] = self._peer
        # ASGI leaves the values of extensions to servers; uvicorn's types know none.
        self.scope["extensions"] = offers
