"""A service that nothing is known of; also the interface that a known one fills in.

``Service`` is asked once for what holds for all requests, ``Handling`` is what it knows of a single one.
"""

import enum
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from shim.errors import ServerKeptWaiting, UpstreamFault
from shim.routes.route import BodyMode, Route
from shim.upstream.exchange import Response
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.upstream.question import Reply

Failure: TypeAlias = UpstreamFault | ServerKeptWaiting | Reply
"""How an attempt failed: it broke, was given up, or got an answer that may be an accident of the server."""


class Remedy(enum.Enum):
    """What to do about a failed attempt."""

    GIVE_UP = "give up"
    SEND_AGAIN = "send again"


class Handling(Protocol):
    """What the service room does for one request, from its head to its answer.

    Attributes:
        project: Whose request it is, ``""`` where that is not known.
        is_plain: Whether there is nothing to ask, to add or to try again, as with nearly all.
    """

    project: str
    is_plain: bool

    async def admit(self) -> Reply | None:
        """Ask, before the body is asked for; an answer is the service's own refusal, to be relayed.

        Raises:
            ShimError: It would be refused, or there is nobody to ask.
        """
        ...

    async def complete(self, message: UpstreamRequest) -> UpstreamRequest:
        """The request with its body, as it is to be sent."""
        ...

    def is_doubtful(self, answer: Response) -> bool:
        """Whether an answer may be an accident: it is then read, and ``recover`` asked.

        Raises:
            ShimError: It means something else than it says.
        """
        ...

    async def recover(self, failure: Failure) -> Remedy:
        """Find out what a failed attempt has left behind, and wait until another one makes sense.

        Raises:
            ShimError: What the client needs to know instead.
        """
        ...


class Service(Protocol):
    """What the proxy asks of the service room."""

    name: str

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:
        """The routes where the operator wrote none."""
        ...

    def image_of(self, raw_path: bytes) -> str:
        """The image that a path speaks of, or ``""``."""
        ...

    def handle(self, message: UpstreamRequest, upstream: Upstream) -> Handling:
        """Begin to handle a request; ``message`` has no body yet."""
        ...

    @property
    def probe_path(self) -> bytes | None:
        """What a health probe asks for over HTTP; None: connecting is enough."""
        ...


class PlainHandling:
    """Nothing is known, so nothing is asked, added or tried again."""

    project = ""
    is_plain = True

    async def admit(self) -> Reply | None:
        """Everything may begin."""
        return None

    async def complete(self, message: UpstreamRequest) -> UpstreamRequest:
        """Nothing to add."""
        return message

    def is_doubtful(self, answer: Response) -> bool:  # noqa: ARG002 - the interface
        """Every answer is what it says."""
        return False

    async def recover(self, failure: Failure) -> Remedy:  # noqa: ARG002 - the interface
        """What may have been delivered is not sent again."""
        return Remedy.GIVE_UP


class GenericService:
    """Any WSGI service."""

    name = "none"

    def default_routes(self, upstream: str, body: BodyMode) -> Sequence[Route]:  # noqa: ARG002 - the interface
        """None: everything is forwarded alike."""
        return ()

    def image_of(self, raw_path: bytes) -> str:  # noqa: ARG002 - the interface
        """No images here."""
        return ""

    def handle(self, message: UpstreamRequest, upstream: Upstream) -> Handling:  # noqa: ARG002 - the interface
        """All requests are alike."""
        return PlainHandling()

    @property
    def probe_path(self) -> bytes | None:
        """Nothing is known to answer."""
        return None
