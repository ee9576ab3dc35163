"""Talks to the admin listener of a running shim, over TCP or a unix socket, with its token.

httpx over the shim's own connections: so it knows the same addresses, and no proxy of the environment.
"""

import urllib.parse
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from shim.timing import Seconds
from shim.upstream.address import UpstreamAddress, join_host_port, parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from shim.upstream.transport import UpstreamTransport

_PATIENCE: Seconds = 10.0
_CONNECT: Seconds = 3.0
_UNAUTHORIZED = 401
_FIRST_FAULT = 400
# What a shim's status has in any case.
_SHOWN = frozenset({"state", "spool", "uploads", "servers"})

Json = dict[str, Any]
Told = TypeVar("Told", dict[str, Any], list[dict[str, Any]])


class AdminError(Exception):
    """The shim could not be asked, or refused; the text says why and what to do."""


def parse_admin(text: str) -> UpstreamAddress:
    """Where the admin listener is, as a URL (``http://``, ``http+unix://``) or as ``admin.listen`` has it.

    Raises:
        ValueError: It is neither; the message is for the operator.
    """
    if text.startswith("unix:"):
        return parse_upstream(f"http+unix://{text.removeprefix('unix:')}")
    if text.startswith("fd:"):
        raise ValueError(f"'{text}': a socket that was passed on has no address here; give --admin")
    address = parse_upstream(text if "://" in text else f"http://{text}")
    if address.protocol.value != "http":
        raise ValueError(f"'{text}': the admin listener speaks HTTP; write http://HOST:PORT or unix:/path")
    return address


class AdminClient:
    """One admin listener; an ``async with`` block.

    Raises:
        AdminError: From each question.
    """

    def __init__(self, address: UpstreamAddress, token: str | None = None) -> None:
        self.address = address
        timeouts = UpstreamTimeouts(
            connect=_CONNECT, connect_retry=0, send=_PATIENCE, response=_PATIENCE, response_idle=_PATIENCE
        )
        upstream = Upstream("admin", [Server(address, timeouts)], connect_retry=0)
        self._client = httpx.AsyncClient(
            transport=UpstreamTransport(upstream),
            base_url=f"http://{_host(address)}",
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=None,  # noqa: S113 - the transport has its own
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def status(self) -> Json:
        """All that the live views show."""
        told = await self._ask("GET", "/status.json", dict)
        # Asked at the clients' address it is Glance that answers, with its list of versions.
        if _SHOWN - told.keys():
            raise self._stranger()
        return told

    async def uploads(self) -> list[Json]:
        """The uploads under way, the oldest first."""
        return await self._ask("GET", "/uploads", list)

    async def cancel(self, name: str) -> Json:
        """End an upload, named by its key or its request id; gives it as it was."""
        return await self._ask("POST", f"/uploads/{urllib.parse.quote(name, safe='')}/cancel", dict)

    async def _ask(self, method: str, path: str, kind: type[Told]) -> Told:
        try:
            answer = await self._client.request(method, path)
        except httpx.HTTPError as error:
            # The reason names the address, where it is that of a connection.
            reason = str(error).removeprefix(f"No connection to {self.address}: ").rstrip(".")
            asked = "Is the shim running, and is this its admin.listen?"
            raise AdminError(f"{self.address} does not answer: {reason}. {asked}") from error
        if answer.status_code >= _FIRST_FAULT:
            raise AdminError(_reason(answer))
        try:
            told = answer.json()
        # Nested deeper than any status is: json gives up by recursion.
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        if not isinstance(told, kind):
            raise self._stranger()
        return told

    def _stranger(self) -> AdminError:
        return AdminError(
            f"{self.address} answers, but not as a shim's admin listener, which is admin.listen"
        )


def _host(address: UpstreamAddress) -> str:
    if address.host is None or address.port is None:
        return "localhost"
    return join_host_port(address.host, address.port)


def _reason(answer: httpx.Response) -> str:
    if answer.status_code == _UNAUTHORIZED:
        return "the token is missing or wrong: GLANCE_SHIM_ADMIN__TOKEN or --token-file"
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip() or f"it answered {answer.status_code}"
