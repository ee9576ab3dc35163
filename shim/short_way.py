"""The short way between server and application: small requests are served without running the application.

It is no part of ASGI. The application offers it beside its call, and is run as ever for what does not fit, or
no longer fits (docs/decisions/0032); then ``shim.asgi.UnderWay`` is what it goes on with.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from shim.asgi import Fields, UnderWay


class ShortClient(Protocol):
    """Who a request on the short way is for; ``give`` or ``go_on`` is called, once."""

    def body_now(self, most: int) -> bytes | None:
        """All of the request's body, asked for while it begins.

        None where some of it is still to come, or it has more than so many bytes, or is not as it should be:
        the ordinary way then finds it as if nobody had asked.
        """
        ...

    def give(self, status: int, headers: Fields, body: bytes) -> None:
        """The answer, whole."""
        ...

    def go_on(self) -> None:
        """It is not as most are: run the application for the rest of it, with what was begun."""
        ...


class ShortTerms(Protocol):
    """What requests with the same fields on one connection have in common."""

    def begin(
        self, method: str, target: bytes, client: ShortClient, *, has_framing: bool, length: int | None
    ) -> UnderWay | None:
        """Begin one of them; None where it does not fit the short way after all, and nothing was done.

        Args:
            method: As it came, as ``target``.
            target: Byte for byte.
            client: Asked for the body, and told what becomes of the request, later.
            has_framing: Whether its head says anything of a body, if only that it is empty.
            length: Of the body, in bytes; None where the head does not say.
        """
        ...


class ShortWay(Protocol):
    """An application's offer to serve small requests without being run: sent at once, answered by a callback.

    An attribute ``short_way`` of the application; a server that does not look for it runs the application.
    """

    def terms(self, headers: Fields, ends: Mapping[str, Any]) -> ShortTerms | None:
        """What requests of HTTP/1.1 have in common; None where they do not fit this way.

        Args:
            headers: Names in lower case.
            ends: The scope's ``client``, ``server`` and ``scheme``.
        """
        ...


def short_way_of(application: object) -> ShortWay | None:
    """The short way that an application offers, None where it has none, or is wrapped in another."""
    return getattr(application, "short_way", None)
