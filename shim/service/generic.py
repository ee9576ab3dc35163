"""A service that nothing is known of; also the interface that a known one fills in."""

from collections.abc import Sequence
from typing import Protocol

from shim.routes.route import BodyMode, Route


class Service(Protocol):
    """What the proxy asks of the service room."""

    name: str

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:
        """The routes where the operator wrote none."""
        ...

    def image_of(self, raw_path: bytes) -> str:
        """The image that a path speaks of, or ``""``."""
        ...

    @property
    def probe_path(self) -> bytes | None:
        """What a health probe asks for over HTTP; None: connecting is enough."""
        ...


class GenericService:
    """Any WSGI service."""

    name = "none"

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:  # noqa: ARG002 - the interface
        """None: everything is forwarded alike."""
        return ()

    def image_of(self, raw_path: bytes) -> str:  # noqa: ARG002 - the interface
        """No images here."""
        return ""

    @property
    def probe_path(self) -> bytes | None:
        """Nothing is known to answer."""
        return None
