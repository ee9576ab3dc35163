"""The listening sockets of a shim over all its configurations: opened once, shared by whoever serves.

An address that stays in the configuration keeps its socket, and with it what waits in its queue; so a change
of workers, or of anything else, loses no connection.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from shim.server.addresses import ListenAddress, UnixAddress
from shim.server.listen import ListenOptions, open_listener, place_of

# An address may be written twice, with port 0, and means two sockets then.
_Key: TypeAlias = tuple[ListenAddress, int]


class Sockets:
    """Listening sockets by what the operator wrote."""

    def __init__(self) -> None:
        self._open: dict[_Key, tuple[socket.socket, contextlib.ExitStack]] = {}
        self._leftovers = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"<Sockets {', '.join(self.places([key[0] for key in self._open]))}>"

    def open(self, addresses: Sequence[ListenAddress], options: ListenOptions) -> None:
        """Have a socket for each address, old or new.

        Raises:
            ListenFailed: One cannot be had; those that were opened for this are closed again.
        """
        with contextlib.ExitStack() as failed:
            for key in _keys(addresses):
                if key not in self._open:
                    with contextlib.ExitStack() as stack:
                        listener = stack.enter_context(open_listener(key[0], options))
                        self._open[key] = listener, stack.pop_all()
                    failed.callback(self._drop, key)
            failed.pop_all()

    def listeners(self, addresses: Sequence[ListenAddress]) -> list[socket.socket]:
        """The sockets of addresses that are open."""
        return [self._open[key][0] for key in _keys(addresses)]

    def places(self, addresses: Sequence[ListenAddress]) -> list[str]:
        """Where they can be reached, with the ports that the kernel chose."""
        return [
            str(address) if isinstance(address, UnixAddress) else place_of(listener)
            for address, listener in zip(addresses, self.listeners(addresses), strict=True)
        ]

    def keep_only(self, addresses: Sequence[ListenAddress]) -> None:
        """Close what is not listened on any more; who still has it open may take what is in its queue."""
        for key in self._open.keys() - set(_keys(addresses)):
            listener, stack = self._open.pop(key)
            listener.close()
            # The path of a unix socket stays while somebody listens there: it is looked at in the end.
            self._leftovers.push(stack)

    def close(self) -> None:
        """Close all of them, and remove the unix sockets' paths."""
        for key in [*self._open]:
            self._drop(key)
        self._leftovers.close()

    def _drop(self, key: _Key) -> None:
        self._open.pop(key)[1].close()


def _keys(addresses: Sequence[ListenAddress]) -> list[_Key]:
    seen: Counter[ListenAddress] = Counter()
    keys = []
    for address in addresses:
        keys.append((address, seen[address]))
        seen[address] += 1
    return keys
