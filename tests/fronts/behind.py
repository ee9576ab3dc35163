"""The shim behind a front: it trusts whoever comes by loopback or by its unix socket, and listens on both."""

from pathlib import Path
from typing import Any

from shim.demo.addresses import remove_socket, socket_path
from tests.support.shim import Settings, Shim


class ShimBehind(Shim):
    """A shim with the product's own defaults, in front of one server.

    Attributes:
        socket: Its unix listener.
    """

    def __init__(
        self, folder: Path, upstream: str, *, mount: str = "", settings: Settings | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = socket_path(folder, "shim.sock")
        options: dict[str, Any] = {
            "body": None,
            "service": None,
            "upstreams.glance.servers": [upstream],
            "upstreams.glance.mount": mount,
            # The front, and nobody else that comes by an address.
            "server.trusted_proxies": ["127.0.0.1/32", "unix"],
        }
        super().__init__(folder, options | dict(settings or {}), forked=True)

    def address_of(self, link: str) -> str:
        """Where a front finds it, by ``tcp`` or ``unix``."""
        return f"unix:{self.socket}" if link == "unix" else f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """SIGTERM; it must end with 0."""
        super().stop()
        remove_socket(self.socket)

    def _configuration(self) -> str:
        # The port is chosen anew at each start.
        listen = [f"127.0.0.1:{self.port}", f"unix:{self.socket}"]
        self.settings = {**self.settings, "server.listen": listen}
        return super()._configuration()
