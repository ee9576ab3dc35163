"""Where an upstream server is: the URLs that an operator may write, as one frozen value.

Configuration parses them once, the network opens what they name; nobody else takes a URL apart. The
host and socket path rules are shared with the listen addresses of ``server/addresses.py``.
"""

import enum
import ipaddress
import re
from dataclasses import dataclass

# sun_path holds 108 bytes with the closing NUL (unix(7)).
LONGEST_SOCKET_PATH = 107

_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)
_APPLICATION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
# Up to the last "@" before the path: a password may hold one.
_USER_INFORMATION = re.compile(r"//[^/]*@")


class Protocol(enum.Enum):
    """What is spoken with the server."""

    HTTP = "http"
    UWSGI = "uwsgi"
    WSGI = "wsgi"


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """One server: by ``host`` and ``port``, by ``socket_path``, or an ``application`` in this process.

    Attributes:
        protocol: What it speaks.
        tls: Whether the connection is encrypted (``https``).
        host: Name in lower case, IPv4 or IPv6 address (without brackets).
        port: 1 to 65535; set where ``host`` is.
        socket_path: Absolute path of a unix socket.
        application: ``package.module:callable``, for ``Protocol.WSGI`` only.
        name: The name that led to ``host``, where that is one of its addresses: whose certificate it shows.
    """

    protocol: Protocol
    tls: bool = False
    host: str | None = None
    port: int | None = None
    socket_path: str | None = None
    application: str | None = None
    name: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether its host is a name that may have several addresses."""
        return self.host is not None and not _is_numeric(self.host)

    def __str__(self) -> str:
        """The URL, with its port; ``parse_upstream`` gives back an equal value."""
        if self.application is not None:
            return f"wsgi:{self.application}"
        if self.socket_path is not None:
            return f"{self.protocol.value}+unix://{self.socket_path}"
        assert self.host is not None
        assert self.port is not None
        scheme = "https" if self.tls else self.protocol.value
        return f"{scheme}://{join_host_port(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class _Scheme:
    protocol: Protocol
    tls: bool = False
    unix: bool = False
    default_port: int | None = None


# uwsgi has no port of its own, so one has to be named.
_SCHEMES = {
    "http": _Scheme(Protocol.HTTP, default_port=80),
    "https": _Scheme(Protocol.HTTP, tls=True, default_port=443),
    "http+unix": _Scheme(Protocol.HTTP, unix=True),
    "uwsgi": _Scheme(Protocol.UWSGI),
    "uwsgi+unix": _Scheme(Protocol.UWSGI, unix=True),
}


def parse_upstream(url: str) -> UpstreamAddress:
    """The address that ``url`` names; an http(s) URL without a port means 80 or 443.

    Raises:
        ValueError: It is none of the known forms. The message is for the operator: it repeats the URL
            (without a password in it) and says what to write instead.
    """
    try:
        return _parse(url)
    except ValueError as fault:
        shown = _USER_INFORMATION.sub("//...@", url)
        raise ValueError(f"'{shown}': {fault}") from None


def _parse(url: str) -> UpstreamAddress:
    # No authority behind it, so no "//" either.
    if url.startswith("wsgi:"):
        return _parse_application(url.removeprefix("wsgi:"))
    name, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("an upstream is a URL, as in http://127.0.0.1:9292 or uwsgi+unix:///run/glance.sock")
    scheme = _SCHEMES.get(name.lower())
    if scheme is None:
        raise ValueError(f"unknown scheme '{name}'; use {', '.join(_SCHEMES)} or wsgi")
    if scheme.unix:
        return _parse_socket(name, scheme, rest)
    return _parse_network(scheme, rest)


def _parse_application(target: str) -> UpstreamAddress:
    if not _APPLICATION.fullmatch(target):
        raise ValueError("name a module and a callable in it, as in wsgi:glance.wsgi.api:application")
    return UpstreamAddress(Protocol.WSGI, application=target)


def _parse_socket(name: str, scheme: _Scheme, path: str) -> UpstreamAddress:
    if not path.startswith("/"):
        raise ValueError(
            f"a unix socket has three slashes and an absolute path, as in {name}:///run/glance.sock"
        )
    return UpstreamAddress(scheme.protocol, socket_path=checked_socket_path(path))


def _parse_network(scheme: _Scheme, rest: str) -> UpstreamAddress:
    authority, slash, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise ValueError("an upstream URL has no query and no fragment; end it after the port")
    if "@" in authority:
        raise ValueError("an upstream URL has no user and no password: requests carry the client's own token")
    # A lone slash is how many people end a URL, and changes nothing.
    if slash and path:
        raise ValueError(
            f"an upstream URL has no path; end it after the port, and for a service that lives "
            f'under a path set mount = "/{path.rstrip("/")}" in its [upstreams.NAME] table'
        )
    host, port = split_host_port(authority)
    port = scheme.default_port if port is None else port
    if port is None:
        raise ValueError(f"the port is missing, as in uwsgi://{authority}:3031")
    if port == 0:
        raise ValueError("port 0 cannot be connected to; use 1 to 65535")
    return UpstreamAddress(scheme.protocol, tls=scheme.tls, host=host, port=port)


# -- hosts, ports and paths, for every address of the shim ----------------------------------------


def split_host_port(text: str) -> tuple[str, int | None]:
    """Host (lower case, no brackets) and port (0 to 65535, None where there is none) of ``HOST[:PORT]``.

    Raises:
        ValueError: Either is missing its form; the message says which and why.
    """
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address ends with ']', followed by ':PORT' or nothing")
        return _ipv6(host), _port(rest[1:]) if rest else None
    host, colon, rest = text.partition(":")
    if ":" in rest:
        raise ValueError("an IPv6 address stands in brackets, as in [::1]:9292")
    return _host(host), _port(rest) if colon else None


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def join_host_port(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def checked_socket_path(path: str) -> str:
    """``path`` itself, where a unix socket can have it.

    Raises:
        ValueError: It is not absolute, names a folder, or is longer than the kernel takes.
    """
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("a unix socket has an absolute path that names a file")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ValueError(f"the path of a unix socket has at most {LONGEST_SOCKET_PATH} bytes")
    return path


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv6 address") from None


def _host(text: str) -> str:
    if not text:
        raise ValueError("the host is missing")
    # What looks like an IPv4 address must be one: the resolver would take 127.1 or 256.0.0.1 for a name.
    if _NUMERIC.fullmatch(text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(f"'{text}' is not an IPv4 address") from None
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(f"'{text}' is not a host name (international names in their xn-- form)")
    return text.lower()


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:  # noqa: PLR2004 - the largest there is
        raise ValueError(f"'{text}' is not a port; use a number up to 65535")
    return int(text)
