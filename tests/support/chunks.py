"""A large body in chunks of 1 MiB, as the glance command sends them, and a client that sends it.

Made once and sent again and again, so that sending costs next to nothing beside what is measured.
"""

import contextlib
import hashlib
import http.client
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MIB = 1024 * 1024
# So many different chunks are sent in turn: one that is lost or exchanged changes the hash.
DIFFERENT_CHUNKS = 16
_ANSWER_LIMIT = 600.0


class Chunks:
    """A body of ``size`` bytes (a multiple of 1 MiB) in chunks of 1 MiB, as the glance command sends them.

    Attributes:
        size: Bytes in all.
    """

    def __init__(self, size: int) -> None:
        if size % MIB:
            raise ValueError(f"{size} is not a multiple of 1 MiB")
        self.size = size
        self._different = [os.urandom(MIB) for _ in range(DIFFERENT_CHUNKS)]

    def encoded(self) -> Iterator[bytes]:
        """The chunks as they are sent, and the last one; made once, so that sending costs next to nothing."""
        ready = [b"%x\r\n%b\r\n" % (MIB, chunk) for chunk in self._different]
        yield from itertools.islice(itertools.cycle(ready), self.size // MIB)
        yield b"0\r\n\r\n"

    def hash(self, algorithm: str) -> str:
        """Its hash in hex."""
        digest = hashlib.new(algorithm)
        for chunk in itertools.islice(itertools.cycle(self._different), self.size // MIB):
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to an upload, and the seconds from connecting to its end."""

    status: int
    body: bytes
    seconds: float


def send(netloc: str, target: str, chunks: Chunks, headers: Mapping[str, str]) -> Sent:
    """PUT the chunks to ``target``, and read the answer."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(netloc, timeout=_ANSWER_LIMIT)
    with contextlib.closing(connection):
        connection.putrequest("PUT", target)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        # A server that has heard enough answers and closes: then that answer is what counts.
        with contextlib.suppress(ConnectionError):
            for piece in chunks.encoded():
                connection.sock.sendall(piece)
        answer = connection.getresponse()
        body = answer.read()
    return Sent(answer.status, body, time.monotonic() - began)
