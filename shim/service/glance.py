"""Glance: which paths carry images, which small JSON, and where it says that it is well.

What it knows of an upload that is under way stands in ``upload``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shim.routes.route import BodyMode, Route
from shim.service.admissions import Admissions
from shim.service.generic import Handling, PlainHandling
from shim.service.images import ImageQuestions
from shim.service.service_account import ServiceAccount
from shim.service.upload import Action, ImageUpload, UploadOptions
from shim.timing import Clock, monotonic
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest

if TYPE_CHECKING:
    from shim.service.service_token import ServiceTokens

# A JSON request of Glance's has some KiB; without an end of its own, one that nobody asked a token for
# could fill the spool.
LONGEST_JSON = 16 * 1024 * 1024

_IMAGE = re.compile(rb"/v2/images/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:/|$)")
_UPLOAD = re.compile(rb"(?P<image>(?:/.*)?/v2/images/[^/]+)/(?P<action>file|stage)")


@dataclass(frozen=True, slots=True)
class GlanceOptions:
    """What the operator wants of this room (``glance.*``).

    Attributes:
        upload: For single uploads.
        account: Whose service token lets an upload outlive its own token; None: nobody's.
    """

    upload: UploadOptions = field(default_factory=UploadOptions)
    account: ServiceAccount | None = None


class GlanceService:
    """The Images API, version 2."""

    name = "glance"

    def __init__(self, options: GlanceOptions | None = None, *, clock: Clock = monotonic) -> None:
        self._options = options or GlanceOptions()
        self._clock = clock
        self._admissions = Admissions(clock=clock)
        account = self._options.account
        self._tokens = None if account is None else _tokens_of(account, clock)

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:
        """Image data by name, and everything else of the API as small JSON."""

        def route(name: str, method: str, path: str) -> Route:
            return Route(name, upstream, frozenset({method}), path, body)

        return (
            route("image-upload", "PUT", "/**/v2/images/*/file"),
            route("image-stage", "PUT", "/**/v2/images/*/stage"),
            route("image-download", "GET", "/**/v2/images/*/file"),
            Route("api", upstream, path="/**/v2/**", body=body, max_body=LONGEST_JSON),
        )

    def image_of(self, raw_path: bytes) -> str:
        """The image's id in ``/v2/images/{id}/...``, under any mount."""
        match = _IMAGE.search(raw_path)
        return match[1].decode("ascii") if match else ""

    def handle(self, message: UpstreamRequest, upstream: Upstream) -> Handling:
        """Uploads and stagings are handled; all else goes through as it is."""
        match = _UPLOAD.fullmatch(message.target.partition(b"?")[0])
        if message.method != "PUT" or match is None:
            return PlainHandling()
        return ImageUpload(
            Action(match["action"].decode("ascii")),
            ImageQuestions(message, match["image"], upstream),
            upstream.name,
            options=self._options.upload,
            admissions=self._admissions,
            tokens=self._tokens,
            clock=self._clock,
        )

    @property
    def probe_path(self) -> bytes | None:
        """oslo.middleware's health check."""
        return b"/healthcheck"


def _tokens_of(account: ServiceAccount, clock: Clock) -> "ServiceTokens":
    from shim.service.service_token import ServiceTokens  # noqa: PLC0415 - httpx with it: only where it is asked for

    return ServiceTokens(account, clock=clock)
