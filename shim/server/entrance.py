"""Between accepting a connection and its first byte of HTTP: the PROXY header, then the TLS handshake.

Both together have ``timeouts.header``, and a connection counts against ``limits.max_connections`` from
its first moment: one that never gets further must not be cheaper than one that does. There are no more of
them than can be served and refused: each has a session of TLS, and its memory.
"""

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate
from shim.errors import BadRequest
from shim.server.attendance import Attendance
from shim.server.certificates import ServerCertificate
from shim.server.protocol import ClientConnection
from shim.server.tls import TlsTransport
from shim.timing import Seconds
from shim.wire.peer import TrustedProxies
from shim.wire.proxy_protocol import BadProxyHeader, ProxyHeader, ProxyHeaderReader

log = logging.getLogger("shim.server")


@dataclass(frozen=True, slots=True)
class EntranceOptions:
    """What a connection passes before it speaks HTTP.

    Attributes:
        certificate: For TLS; None: plain.
        proxies: Who must begin with a PROXY header, and is believed; None: nobody does.
        timeout: For all of it, in seconds.
        gate: Counts them.
    """

    certificate: ServerCertificate | None = None
    proxies: TrustedProxies | None = None
    timeout: Seconds = 30.0
    gate: ConnectionGate = field(default_factory=ConnectionGate)

    @property
    def is_open(self) -> bool:
        """Whether there is nothing to pass."""
        return self.certificate is None and self.proxies is None


class ConnectionFactory(Protocol):
    """A ``ClientConnection`` that only lacks what uvicorn gives, and whom a PROXY header named."""

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        proxy_header: ProxyHeader | None = None,
    ) -> ClientConnection:
        """Make one."""
        ...


def entered_by(options: EntranceOptions, make: ConnectionFactory) -> Callable[..., asyncio.Protocol]:
    """What uvicorn makes for each connection: an entrance, or at once what stands behind it."""
    return make if options.is_open else functools.partial(_entrance, options, make)


def _entrance(
    options: EntranceOptions,
    make: ConnectionFactory,
    config: Config,
    server_state: ServerState,
    app_state: dict[str, Any],
    _loop: asyncio.AbstractEventLoop | None = None,
) -> "Entrance":
    connection = functools.partial(make, config, server_state, app_state, _loop)
    return Entrance(options, server_state, connection)


class Entrance(asyncio.Protocol):
    """One connection that has not spoken HTTP yet; ``connection`` makes what it becomes."""

    def __init__(
        self,
        options: EntranceOptions,
        server_state: ServerState,
        connection: Callable[..., ClientConnection],
    ) -> None:
        self._options = options
        self._attendance = Attendance(self, server_state, options.gate)
        self._connection = connection
        self._reader: ProxyHeaderReader | None = None
        self._proxy_header: ProxyHeader | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Set by connection_made, which the loop calls before anything else.
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._tls: TlsTransport | None = None

    # -- the transport's calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for what comes first."""
        self._transport = transport
        # Over the limit it is told so only later, once it can be told anything.
        self._attendance.begin(self._address)
        if not self._attendance.has_place:
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(self._options.timeout, self._time_out)
        if self._options.proxies is None:
            self._shake_hands(b"")
        elif self._options.proxies.trusts(self._address):
            self._reader = ProxyHeaderReader()
        else:
            self._refuse(
                "is not in server.trusted_proxies, and only those may send the PROXY header that "
                "server.proxy_protocol asks of every connection: add it, or connect through the load balancer"
            )

    def data_received(self, data: bytes) -> None:
        """Take bytes of the PROXY header; those of a handshake go to the TLS transport."""
        if self._reader is None:
            return
        try:
            self._proxy_header = self._reader.feed(data)
        except BadProxyHeader as fault:
            self._refuse(
                f"was closed, for {fault}: let the load balancer send one (HAProxy: send-proxy-v2; nginx: "
                "proxy_protocol on), or set server.proxy_protocol = false"
            )
            return
        if self._proxy_header is not None:
            self._shake_hands(self._reader.take_rest())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's name
        """It ended before it spoke HTTP."""
        self._leave()

    def shutdown(self) -> None:
        """The server drains (called by uvicorn): nothing was asked here that would want an answer."""
        self._transport.abort()

    # -- the steps --------------------------------------------------------------------------------

    def _shake_hands(self, rest: bytes) -> None:
        """Let TLS begin, where there is any; ``rest`` came after the PROXY header."""
        self._reader = None
        if self._options.certificate is None:
            self._enter(self._transport, rest)
            return
        # The context of this moment: a certificate renewed later is for later connections.
        self._tls = TlsTransport(self._transport, self._options.certificate.context, self, self)
        self._transport.set_protocol(self._tls)
        if rest:
            self._tls.data_received(rest)

    def established(self) -> None:
        """The handshake is done."""
        assert self._tls is not None
        self._enter(self._tls, b"")

    def failed(self, error: ssl.SSLError) -> None:
        """The handshake came to nothing."""
        if error.reason == "HTTP_REQUEST":
            # A person with http:// in place of https:// is told so; no alert of TLS would be read.
            self._enter(self._transport, b"").refuse(BadRequest("This address speaks TLS: use https://."))
            return
        reason = (error.reason or str(error)).replace("_", " ").lower()
        log.info("No TLS with %s: %s", self._told_address, reason, extra=self._fields)
        self._transport.close()

    def _enter(self, transport: asyncio.Transport, rest: bytes) -> ClientConnection:
        """Become a connection that speaks HTTP."""
        self._leave()
        connection = self._connection(proxy_header=self._proxy_header)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if rest:
            connection.data_received(rest)
        return connection

    def _leave(self) -> None:
        self._attendance.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- ends -------------------------------------------------------------------------------------

    def _time_out(self) -> None:
        waited_for = "PROXY header" if self._reader is not None else "TLS handshake"
        log.info(
            "No %s from %s within %g s", waited_for, self._told_address, self._options.timeout,
            extra=self._fields,
        )  # fmt: skip
        self._transport.abort()

    def _refuse(self, why: str) -> None:
        """Close a connection whose client cannot be known; the operator is told what to do."""
        self._reader = None
        log.warning("A connection of %s %s", self._told_address, why, extra=self._fields)
        self._transport.abort()

    @property
    def _address(self) -> str | None:
        peer = get_remote_addr(self._transport)
        return None if peer is None else peer[0]

    @property
    def _told_address(self) -> str:
        header = self._proxy_header
        named = header.client[0] if header is not None and header.client else None
        return named or self._address or "unix"

    @property
    def _fields(self) -> dict[str, Any]:
        return {"fields": {"client": self._told_address}}
