"""What a supervisor runs, and what a worker of it finds: values between the command and the two of them."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shim.server.addresses import ListenAddress
from shim.server.channel import Post
from shim.server.listen import ListenOptions
from shim.timing import Seconds


@dataclass(frozen=True, slots=True)
class Station:
    """What a new worker finds: its number, its sockets, and the line to its supervisor.

    Attributes:
        beat: Seconds between its signs of life.
    """

    number: int
    listeners: Sequence[socket.socket]
    admin_listeners: Sequence[socket.socket]
    post: Post
    beat: Seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """One configuration, ready to be run.

    Attributes:
        work: What a worker does, from its start to its exit status; called in its own process.
    """

    listen: Sequence[ListenAddress]
    admin_listen: Sequence[ListenAddress]
    listening: ListenOptions
    workers: int
    work: Callable[[Station], int]

    @property
    def addresses(self) -> Sequence[ListenAddress]:
        """All that is listened on."""
        return (*self.listen, *self.admin_listen)


class PlanRefused(Exception):
    """A new configuration cannot be run; the text says why."""
