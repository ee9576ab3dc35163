"""Who may see the admin pages, and who may change something by them.

A browser on the operator's machine reaches loopback for whatever page is open in it. A page of another
site cannot read our answers, unless its name is made to lead here (DNS rebinding): so names are looked at.
It can send calls all the same, whose answers it never reads: so a call that changes something needs a token,
which no other site knows, or a unix socket, which no page reaches; and it must not come from another site.
"""

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from shim.app.audit import SAFE_METHODS
from shim.asgi import local_peer_of

# A load balancer has no token, and asks by whatever name it has.
_PROBES = frozenset({"/healthz", "/readyz"})
# The page itself is empty without its data, and is what asks a person for the token.
_OPEN = _PROBES | {"/"}
_SCHEME = "bearer "


class Guard:
    """Lets requests through to the admin application, or answers them itself."""

    def __init__(self, application: ASGIApp, token: str | None) -> None:
        """Take whom it guards, and ``admin.token`` (None: everybody who reaches the listener is let in)."""
        self._application = application
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        refusal = self._refuse(scope) if scope["type"] == "http" else None
        await (refusal or self._application)(scope, receive, send)

    def _refuse(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        is_reading = scope["method"] in SAFE_METHODS
        if not is_reading and not _is_same_origin(headers):
            return _FOREIGN
        if self._token is None:
            return self._refuse_without_token(scope, headers, is_reading=is_reading)
        is_open = is_reading and scope["path"] in _OPEN
        if is_open or self._is_token(headers.get("authorization", "")):
            return None
        return _UNAUTHORIZED

    @staticmethod
    def _refuse_without_token(
        scope: Scope, headers: Headers, *, is_reading: bool
    ) -> PlainTextResponse | None:
        # The socket's own mode says who may (server.socket_mode).
        if local_peer_of(scope) is not None:
            return None
        if scope["path"] not in _PROBES and not _is_host_fine(scope, headers.get("host", "")):
            return _MISDIRECTED
        return None if is_reading else _READ_ONLY

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        if given[: len(_SCHEME)].lower() != _SCHEME:
            return False
        # In constant time: how long it takes must not tell how much of it was right.
        return hmac.compare_digest(given[len(_SCHEME) :].strip().encode("latin-1", "replace"), self._token)


def _is_host_fine(scope: Scope, host: str) -> bool:
    """Whether the name asked for can only mean this listener; beyond loopback any name may be right."""
    server = scope.get("server")
    if not server or not _is_loopback(server[0]):
        return True
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    # Rebinding needs a name; an address is what it says.
    return not name or _is_address(name.strip("[]")) or name.rstrip(".").lower() == "localhost"


def _is_same_origin(headers: Headers) -> bool:
    """Whether a call comes from our own page, or from no page at all (Fetch standard, Origin header)."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()


def _is_loopback(host: str) -> bool:
    if not _is_address(host):
        return False
    address = ipaddress.ip_address(host)
    # On a socket of both families IPv4's 127.0.0.1 is ::ffff:127.0.0.1, which Python before 3.13 calls no
    # loopback.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_UNAUTHORIZED = PlainTextResponse(
    "401: admin.token is set; send it as Authorization: Bearer TOKEN\n",
    401,
    {"WWW-Authenticate": 'Bearer realm="glance-shim admin"', "Cache-Control": "no-store"},
)
_FOREIGN = PlainTextResponse("403: this call was sent by a page of another site\n", 403)
_READ_ONLY = PlainTextResponse(
    "403: calls that change something need admin.token, or an admin listener on a unix socket\n", 403
)
_MISDIRECTED = PlainTextResponse(
    "421: ask for localhost or the address itself; to use another name, set admin.token\n", 421
)
