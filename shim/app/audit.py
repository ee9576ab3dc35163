"""What operators do through the admin listener, written down: who, what, and what came of it.

Reading is not written down. A call that was refused is: somebody has tried.
"""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shim.asgi import local_peer_of

audit_log = logging.getLogger("shim.audit")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that only read (RFC 9110 section 9.2.1)."""


MOST_TOLD = 200
"""Characters of a call that are written down."""


class Audited:
    """Writes a log line for each call that is meant to change something."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._application(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._application(scope, receive, send_and_note)
        finally:
            _write(scope, status)


def who(scope: Scope) -> str:
    """Who asks: a user of this machine by a unix socket, else the address."""
    peer = local_peer_of(scope)
    if peer is not None:
        return str(peer)
    client = scope.get("client")
    return f"address {client[0]}" if client else "somebody unknown"


def _write(scope: Scope, status: int) -> None:
    # A path may hold anything, and the log escapes it; but a refused one need not fill the log.
    query = scope.get("query_string", b"").decode("ascii", "backslashreplace")
    what = f"{scope['method']} {scope['path']}{'?' if query else ''}{query}"[:MOST_TOLD]
    fields = {"who": who(scope), "what": what, "status": status, "done": 200 <= status < 300}  # noqa: PLR2004 - the range of successes
    audit_log.info("%s by %s: %d", what, fields["who"], status, extra={"fields": fields})
