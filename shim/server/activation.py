"""Sockets that systemd has opened for us (sd_listen_fds(3)); they outlive us, so a restart loses nothing.

A socket named ``admin`` (FileDescriptorName=) takes the place of ``admin.listen``, all others that of
``server.listen``; one that an address ``fd:N`` names is left to that address.
"""

import os
import socket
import stat
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from shim.server.addresses import InheritedSocket, ListenAddress
from shim.server.listen import ListenFailed

_FIRST = 3
_ADMIN = "admin"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class PassedSockets:
    """The sockets passed to this process: those of the proxied listener, and those of the admin's."""

    proxied: tuple[InheritedSocket, ...] = ()
    admin: tuple[InheritedSocket, ...] = ()

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "PassedSockets":
        """As the variables say; they are removed, for they are not meant for what we start.

        Raises:
            ListenFailed: They name a descriptor that is no listening socket.
        """
        process, count, names = (environment.pop(name, "") for name in _VARIABLES)
        # Who forked and did not clean up leaves us the variables of another process.
        if process != str(os.getpid()) or not count.isdigit():
            return cls()
        called = names.split(":") if names else []
        sockets: dict[bool, list[InheritedSocket]] = {False: [], True: []}
        for index in range(int(count)):
            descriptor = _FIRST + index
            _check(descriptor)
            name = called[index] if index < len(called) else ""
            sockets[name == _ADMIN].append(InheritedSocket(descriptor))
        return cls(tuple(sockets[False]), tuple(sockets[True]))

    def in_place_of(
        self, listen: Sequence[ListenAddress], admin: Sequence[ListenAddress]
    ) -> tuple[Sequence[ListenAddress], Sequence[ListenAddress]]:
        """What to listen on, where ``listen`` and ``admin`` are configured."""
        named = {address for address in (*listen, *admin) if isinstance(address, InheritedSocket)}
        proxied = [address for address in self.proxied if address not in named]
        control = [address for address in self.admin if address not in named]
        return proxied or listen, control or admin


def _check(descriptor: int) -> None:
    fault = f"LISTEN_FDS: descriptor {descriptor} is no listening stream socket"
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ListenFailed(fault)
        with socket.socket(fileno=os.dup(descriptor)) as passed:
            listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if passed.type != socket.SOCK_STREAM or not listens:
                raise ListenFailed(fault)
    except OSError as error:
        raise ListenFailed(f"LISTEN_FDS: descriptor {descriptor}: {error.strerror}") from error
    os.set_inheritable(descriptor, False)
