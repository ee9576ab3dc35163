"""Who may see the admin pages: with a token those who have it; without one, no page of another site.

A browser on the operator's machine reaches loopback for whatever page is open in it. A page of another
site cannot read our answers, unless its name is made to lead here (DNS rebinding): so names are looked at.
It could well send something that changes what we do, without reading the answer: so its origin is too.
"""

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# A load balancer has no token, and asks by whatever name it has.
_PROBES = frozenset({"/healthz", "/readyz"})
# The page itself is empty without its data, and is what asks a person for the token.
_OPEN = _PROBES | {"/"}
_SCHEME = "bearer "
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


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
        changes = scope["method"] not in _READING
        if changes and _is_of_another_site(headers):
            return _CROSS_SITE
        if self._token is None:
            if changes and not _is_local(scope):
                return _TOKEN_NEEDED
            is_fine = scope["path"] in _PROBES or _is_host_fine(scope, headers.get("host", ""))
            return None if is_fine else _MISDIRECTED
        if scope["path"] in _OPEN or self._is_token(headers.get("authorization", "")):
            return None
        return _UNAUTHORIZED

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


def _is_of_another_site(headers: Headers) -> bool:
    """Whether a browser sends it for a page that is not ours; nothing else says where it comes from."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin.partition("://")[2] != headers.get("host", "")


def _is_local(scope: Scope) -> bool:
    """Whether only this machine reaches the listener; a unix socket has no port."""
    server = scope.get("server")
    return not server or server[1] is None or _is_loopback(server[0])


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


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
_MISDIRECTED = PlainTextResponse(
    "421: ask for localhost or the address itself; to use another name, set admin.token\n", 421
)
_CROSS_SITE = PlainTextResponse("403: not for pages of another site\n", 403)
_TOKEN_NEEDED = PlainTextResponse(
    "403: others reach this address: set admin.token to change anything here, or ask on 127.0.0.1\n", 403
)
