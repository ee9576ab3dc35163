"""What a name among an upstream's servers leads to: all of its addresses, by DNS or the hosts file.

The system's own resolver is asked, so that what holds for other programs of the machine holds here.
"""

import asyncio
import socket
from dataclasses import replace

from shim.errors import UpstreamRefused
from shim.timing import Seconds, deadline
from shim.upstream.address import UpstreamAddress

# The system's resolver tries several servers, 5 s each; longer, and it is as good as no answer.
PATIENCE: Seconds = 15.0


async def look_up(address: UpstreamAddress, *, patience: Seconds = PATIENCE) -> list[UpstreamAddress]:
    """The addresses behind the name of ``address``, each once, in an order that is the same everywhere.

    Raises:
        UpstreamRefused: It has none, or the resolver does not answer.
    """
    loop = asyncio.get_running_loop()
    expired = _unknown(address, f"no answer within {patience:g} s")
    async with deadline(patience, lambda: expired):
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise _unknown(address, reason) from error
    hosts = sorted({str(place[0]) for _, _, _, _, place in found})
    return [replace(address, host=host, name=address.host) for host in hosts]


def _unknown(address: UpstreamAddress, reason: str) -> UpstreamRefused:
    text = f"{address}: its name could not be resolved: {reason}"
    return UpstreamRefused("The upstream server could not be found.", for_operator=text)
