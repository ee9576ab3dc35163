"""The raw client over TLS, from an address of one's choice: it does to fronts what no polite client does."""

import socket
import ssl
from typing import Self

from tests.support.client import Client
from tests.support.wire import PATIENCE, Wire

ELSEWHERE = "127.0.0.5"
"""An address of this machine that no shim trusts."""


class FrontClient(Client):
    """One connection to 127.0.0.1, over TLS where a context is given.

    A TLS connection that ends without close_notify counts as one that ends by FIN.
    """

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None,
        *,
        source: str = ELSEWHERE,
        patience: float = PATIENCE,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), patience, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        except BaseException:
            plain.close()
            raise
        self.patience = patience
        self.wire = Wire(self.sock, patience)

    def send(self, *pieces: bytes) -> None:
        """Send pieces; a peer that has gone raises ConnectionError over TLS too."""
        try:
            super().send(*pieces)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as gone:
            raise ConnectionResetError(str(gone)) from gone

    def __enter__(self) -> Self:
        return self
