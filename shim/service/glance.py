"""Glance: which paths carry images, and where it says that it is well."""

import re
from collections.abc import Sequence

from shim.routes.route import BodyMode, Route

_IMAGE = re.compile(rb"/v2/images/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:/|$)")


class GlanceService:
    """The Images API, version 2."""

    name = "glance"

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:
        """Image data by name; all else falls through to the default route."""

        def route(name: str, method: str, path: str) -> Route:
            return Route(name, upstream, frozenset({method}), path, body)

        return (
            route("image-upload", "PUT", "/**/v2/images/*/file"),
            route("image-stage", "PUT", "/**/v2/images/*/stage"),
            route("image-download", "GET", "/**/v2/images/*/file"),
        )

    def image_of(self, raw_path: bytes) -> str:
        """The image's id in ``/v2/images/{id}/...``, under any mount."""
        match = _IMAGE.search(raw_path)
        return match[1].decode("ascii") if match else ""

    @property
    def probe_path(self) -> bytes | None:
        """oslo.middleware's health check."""
        return b"/healthcheck"
