"""The border to ASGI: its types, and what our own server offers beyond it.

The application runs under any ASGI server; under ours, ``scope["extensions"]`` carries an ``Inbound``,
and each of its offers is noticed in one line and falls back to plain ASGI where it is absent.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

INBOUND = "glance_shim.inbound"


@dataclass(frozen=True, slots=True)
class Inbound:
    """What the shim's own server knows of a request beyond the ASGI scope.

    Attributes:
        target: The request target byte for byte as it came; ASGI drops a lone trailing ``?``.
        refusal: Set where the head itself is refused (malformed, too large, too slow): the
            application answers it like any error of its own, so that all answers look alike.
    """

    target: bytes
    refusal: Exception | None = None


def inbound_of(scope: Scope) -> Inbound | None:
    """The offer of our own server, or None under another one."""
    offer = (scope.get("extensions") or {}).get(INBOUND)
    return offer if isinstance(offer, Inbound) else None
