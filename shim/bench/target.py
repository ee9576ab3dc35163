"""Where a run goes: a URL as a person writes it, and an httpx client that reaches it.

Connections are used once: some servers close theirs without saying so (uWSGI's http-socket), and a reset on
the next request would be counted against them. A command of a Glance client opens a new one too.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

import shim
from shim.timing import Seconds
from shim.upstream.address import Protocol, UpstreamAddress, parse_upstream

CONNECT: Seconds = 10.0
SEND: Seconds = 120.0
ANSWER: Seconds = 1800.0
"""From the last byte sent to the answer: a large image behind a queue of others takes long, but ends."""


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment.

    Attributes:
        url: As it is told to people; without a slash at its end.
        address: Where to connect.
        base: What requests are addressed to, with the path that the service lives under.
    """

    url: str
    address: UpstreamAddress
    base: str


def parse_target(url: str) -> Target:
    """The target of ``http://``, ``https://`` (a path may follow) or ``http+unix:///path.sock``.

    Raises:
        ValueError: It is none of these; the message is for the operator.
    """
    scheme, separator, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    if scheme not in ("http", "https") or not separator:
        return _parse_socket(url)
    if any(character in path for character in "?#") or not path.isprintable() or " " in path:
        raise ValueError(f"{scheme}://{authority}/…: the path has no query, no fragment and no blanks")
    address = parse_upstream(f"{scheme}://{authority}")
    base = f"{address}/{path}".rstrip("/")
    return Target(base, address, base)


def _parse_socket(url: str) -> Target:
    address = parse_upstream(url)
    if address.protocol is not Protocol.HTTP:
        raise ValueError(
            f"'{url}': what clients see is measured, and they speak HTTP; "
            "write http://, https:// or http+unix:///path.sock"
        )
    return Target(str(address), address, "http://localhost")


def open_client(
    target: Target, headers: Mapping[str, str], trust: ssl.SSLContext | None
) -> httpx.AsyncClient:
    """A client for one target; proxies and .netrc of the environment have no say.

    Args:
        target: Where it goes.
        headers: Of every request.
        trust: For https; None: the system's own authorities.
    """
    transport = httpx.AsyncHTTPTransport(
        # Loading the system's authorities takes a tenth of a second; without TLS nobody asks for them.
        verify=(trust or ssl.create_default_context()) if target.address.tls else False,
        uds=target.address.socket_path,
        # Two of the run's clients never wait for each other here: concurrency is the plan's affair.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )
    return httpx.AsyncClient(
        base_url=target.base,
        headers={"User-Agent": f"glance-shim-bench/{shim.__version__}", **headers},
        transport=transport,
        timeout=httpx.Timeout(connect=CONNECT, write=SEND, read=ANSWER, pool=CONNECT),
        trust_env=False,
    )
