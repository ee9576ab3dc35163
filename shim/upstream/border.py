"""Where the errors of an upstream's sockets become ours: nobody further in sees an OSError of a connection.

The client is told what happened, the operator where.
"""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterator

from shim.errors import ConnectTimeout, NoDescriptor, SendTimeout, ShimError, UpstreamClosed, UpstreamRefused
from shim.timing import Seconds
from shim.upstream.address import UpstreamAddress


@contextlib.contextmanager
def connect_errors(address: UpstreamAddress) -> Iterator[None]:
    """A block that connects.

    Raises:
        UpstreamRefused, ConnectTimeout: The server did not take the connection.
        NoDescriptor: We have none for it.
    """
    try:
        yield
    except TimeoutError as error:
        # The kernel's own ETIMEDOUT; our deadline is further out, and passes here as a cancellation.
        raise ConnectTimeout(
            "The upstream server took no connection.", for_operator=f"No connection to {address}: timed out."
        ) from error
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            # Refused by our own side: the server may be well.
            raise NoDescriptor(
                "The proxy has no descriptor left for a connection to the upstream server.",
                for_operator=f"No connection to {address}: raise the limit of open files.",
            ) from error
        # UnicodeError: the resolver takes no such name, as one with an empty label.
        reason = _reason(error)
        raise UpstreamRefused(
            f"The upstream server takes no connections: {reason}.",
            for_operator=f"No connection to {address}: {reason}.",
        ) from error


@contextlib.contextmanager
def transfer_errors() -> Iterator[None]:
    """A block that reads or writes; raises UpstreamClosed."""
    # The kernel's ETIMEDOUT, a peer that has vanished, is among them: Python's TimeoutError is an OSError.
    try:
        yield
    except OSError as error:
        raise broken(error) from error


def broken(error: OSError) -> UpstreamClosed:
    """What a failed transfer is called."""
    return UpstreamClosed(f"The connection to the upstream broke: {_reason(error)}.")


def _reason(error: OSError | UnicodeError) -> str:
    # asyncio puts the address into strerror; a failed look-up or handshake has numbers of its own.
    if isinstance(error, UnicodeError):
        return str(error)
    known = error.errno is not None and error.errno in errno.errorcode
    if known and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno or 0)
    return error.strerror or str(error)


def send_timeout(timeout: Seconds) -> ShimError:
    """What it is called where a server took nothing for so many seconds."""
    return SendTimeout(f"The upstream took no byte of the request for {timeout:g} s.")
