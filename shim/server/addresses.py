"""Where the shim listens: the addresses that an operator may write, as frozen values.

Configuration parses them once and ``server`` opens what they name; the order of tests is the grammar's,
``unix:/path`` and ``fd:N`` before ``HOST:PORT``.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

from shim.upstream.address import checked_socket_path, join_host_port, split_host_port

_DESCRIPTOR = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """``HOST:PORT`` or ``[v6]:PORT``; port 0 lets the kernel choose a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it, as far as the name tells."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """``unix:/path``: a socket that the shim makes, and removes at its end."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """``fd:N``: a listening socket that the parent process left open as this descriptor."""

    descriptor: int

    def __str__(self) -> str:
        return f"fd:{self.descriptor}"


ListenAddress: TypeAlias = TcpAddress | UnixAddress | InheritedSocket


def parse_listen(text: str) -> ListenAddress:
    """The address that ``text`` names; ``str()`` of it gives back an equal one.

    Raises:
        ValueError: It is none of the known forms; the message, for the operator, repeats it and says why.
    """
    try:
        return _parse(text)
    except ValueError as fault:
        raise ValueError(f"'{text}': {fault}") from None


def _parse(text: str) -> ListenAddress:
    if text.startswith("unix:"):
        return _parse_unix(text.removeprefix("unix:"))
    if text.startswith("fd:"):
        return _parse_inherited(text.removeprefix("fd:"))
    if "://" in text:
        raise ValueError("a listen address is no URL; write HOST:PORT, [v6]:PORT, unix:/path or fd:N")
    return _parse_tcp(text)


def _parse_unix(path: str) -> UnixAddress:
    # As in a URL: the kernel takes it, but it is another name for the same socket.
    if path.startswith("//"):
        raise ValueError(f"one slash is enough: unix:/{path.lstrip('/')}")
    return UnixAddress(checked_socket_path(path))


def _parse_inherited(number: str) -> InheritedSocket:
    if not _DESCRIPTOR.fullmatch(number):
        raise ValueError("fd: is followed by the number of an open descriptor, as in fd:3")
    return InheritedSocket(int(number))


def _parse_tcp(text: str) -> TcpAddress:
    # Elsewhere these mean every address, of one family or of both: here it is said.
    if text.rstrip("0123456789") in (":", "*:"):
        raise ValueError("for every address of this machine write 0.0.0.0:PORT, or [::]:PORT for IPv6")
    host, port = split_host_port(text)
    if port is None:
        raise ValueError("the port is missing, as in 127.0.0.1:9292")
    return TcpAddress(host, port)
