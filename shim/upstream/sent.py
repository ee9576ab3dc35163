"""A request on one connection of a server, whose answer nobody has read yet.

Made by ``pool``, held by ``pending``, and continued by ``attempt`` where the answer takes its time.
"""

from typing import TYPE_CHECKING, NamedTuple

from shim.timing import Seconds
from shim.upstream.connection import Connection

if TYPE_CHECKING:
    from shim.upstream.pool import Server


class SentRequest(NamedTuple):
    """A request that was sent.

    Attributes:
        keep_alive: Whether the connection is wanted again afterwards.
        is_fresh: Whether it was opened for this request.
        at: Clock reading when it was sent, in seconds.
        rest: Of it, what was not taken at once.
    """

    server: "Server"
    connection: Connection
    keep_alive: bool
    is_fresh: bool
    at: Seconds
    rest: bytes
