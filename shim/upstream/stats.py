"""How many requests a server takes at once, as uWSGI's stats server tells: its address and its words.

uWSGI writes its whole state as JSON to whoever connects (``--stats``), over HTTP where it is told to
(``--stats-http``). What it says holds for each server of the upstream, for they are set up alike.
"""

import json
from dataclasses import dataclass
from typing import Any

from shim.errors import ResponseTimeout, UpstreamInvalid
from shim.timing import Seconds, deadline
from shim.upstream.address import (
    Protocol,
    UpstreamAddress,
    checked_socket_path,
    parse_upstream,
    split_host_port,
)
from shim.upstream.network import NetworkStream, connect

# The master answers in milliseconds, whatever its workers do; a request waits for no more than this.
PATIENCE: Seconds = 1.0
# Each core may come with all variables of its request, some KiB of them.
MOST_BYTES = 16 * 1024 * 1024
_READ_SIZE = 256 * 1024
_QUESTION = b"GET / HTTP/1.0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class StatsAddress:
    """Where the stats server is, and whether it speaks HTTP."""

    place: UpstreamAddress
    http: bool = False

    def __str__(self) -> str:
        """As it is written in the configuration."""
        if self.http:
            return str(self.place)
        return self.place.socket_path or str(self.place).removeprefix("http://")


def parse_stats(text: str) -> StatsAddress:
    """The address in ``text``: HOST:PORT, a socket's path, or an ``http`` or ``http+unix`` URL.

    Raises:
        ValueError: It is none of them; the message is for the operator.
    """
    if "://" in text:
        return StatsAddress(_parse_url(text), http=True)
    try:
        return StatsAddress(_parse_place(text))
    except ValueError as fault:
        raise ValueError(f"{text!r}: {fault}") from None


def _parse_place(text: str) -> UpstreamAddress:
    if text.startswith("/"):
        return UpstreamAddress(Protocol.HTTP, socket_path=checked_socket_path(text))
    host, port = split_host_port(text)
    if not port:
        raise ValueError('write HOST:PORT, as in "127.0.0.1:9191", or the path of a unix socket')
    return UpstreamAddress(Protocol.HTTP, host=host, port=port)


def _parse_url(text: str) -> UpstreamAddress:
    address = parse_upstream(text)
    if address.protocol is not Protocol.HTTP or address.tls:
        raise ValueError(f"{text!r}: uWSGI's stats server speaks plain HTTP, as in http://127.0.0.1:9191")
    return address


def count_slots(text: bytes) -> int:
    """How many requests at once the server of these statistics takes: the cores of all its workers.

    Whatever a worker does at the moment: one that is cheaped is started when it is needed, one that is
    being replaced is back in a moment, and a busy one is what the line is for.

    Raises:
        UpstreamInvalid: It is no statistics of uWSGI's.
    """
    try:
        return _count(json.loads(text))
    # Nested deeper than any statistics are: json gives up by recursion.
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise UpstreamInvalid("What the stats server says is not uWSGI's statistics.") from error


def _count(statistics: Any) -> int:
    slots = sum(len(worker["cores"]) for worker in statistics["workers"])
    if not slots:
        raise ValueError("no worker")
    return slots


async def read_slots(address: StatsAddress, *, patience: Seconds = PATIENCE) -> int:
    """Ask a stats server how many requests its uWSGI takes at once.

    Raises:
        UpstreamFault: It is not there, does not answer in time, or says something else.
    """
    return count_slots(await read_statistics(address, patience=patience))


async def read_statistics(address: StatsAddress, *, patience: Seconds = PATIENCE) -> bytes:
    """What a stats server says, as it says it: one JSON object, if it is uWSGI's.

    Raises:
        UpstreamFault: It is not there, does not answer in time, or says too much.
    """
    # With stats-http it waits for a question, and says nothing where none is asked.
    hint = "" if address.http else " (does it speak HTTP? Then write its address with http://)"
    expired = ResponseTimeout(f"The stats server did not answer within {patience:g} s{hint}.")
    async with deadline(patience, lambda: expired):
        stream = await connect(address.place, patience)
        try:
            if address.http:
                await stream.write(_QUESTION, patience)
            text = await _read_all(stream)
        finally:
            stream.close()
    # Its HTTP head has no length: what follows the blank line, up to the end, is the answer.
    return text.partition(b"\r\n\r\n")[2] if address.http else text


async def _read_all(stream: NetworkStream) -> bytes:
    text = bytearray()
    while data := await stream.read(_READ_SIZE):
        text += data
        if len(text) > MOST_BYTES:
            raise UpstreamInvalid(f"The stats server says more than {MOST_BYTES} bytes.")
    return bytes(text)
