"""The fast way in over TLS: a pump's thread reads ciphertext, and decrypts it where bodies are decoded.

The connection's TLS is lent to it together with the socket. What the client says to TLS itself is answered by
the loop, which alone sends; what a thread has not decrypted by the end of its turn is a part of a record.
"""

import os
from typing import TYPE_CHECKING

from shim.asgi import BodySink
from shim.job import Delay, Ready
from shim.poller import BUFFER, Poller
from shim.server.pump import Ended, Intake, Outcome
from shim.server.records import MOST_IN_MEMORY, RECORD
from shim.server.tls import Tls, TlsTransport
from shim.wire.chunked import BodyDecoder

if TYPE_CHECKING:
    from shim.server.stream import ClientStream

# The end of a thread's buffer holds ciphertext and the rest its plaintext: TLS needs no memory of its own.
# The rest is larger: a part of a record, read in an earlier turn, may become whole in this one.
CIPHERTEXT = BUFFER // 2 - RECORD


class TlsIntake(Intake):
    """One body on its way from a client that speaks TLS to a sink."""

    _most_read = CIPHERTEXT

    def __init__(self, poller: Poller, transport: TlsTransport, decoder: BodyDecoder) -> None:
        """Take the transport, which reads no more, and the decoder in the state that it is in."""
        super().__init__(poller, transport.get_extra_info("socket").fileno(), decoder)
        self._transport = transport
        self._records = transport.records

    async def run(self, sink: BodySink) -> Outcome:
        """As over a plain connection; what TLS itself has to say is sent first."""
        self._transport.flush()
        if self._is_over:
            return Outcome(Ended.GONE)
        return await super().run(sink)

    @property
    def _is_over(self) -> bool:
        # A goodbye that came with bytes before it is in no socket any more: nobody would be woken by it.
        return self._records.is_goodbye_read or self._transport.state is not Tls.OPEN

    def work(self, buffer: memoryview) -> Outcome | Delay | Ready | None:
        """Read, decrypt and write, on a thread."""
        outcome = super().work(buffer)
        if isinstance(outcome, Outcome):
            return outcome
        if self._is_over:
            return Outcome(Ended.GONE)
        # What TLS answers to messages of its own would else become more as long as the body lasts.
        return Outcome(Ended.OWING) if self._records.unsent else outcome

    def _read(self, buffer: memoryview, most: int) -> tuple[int, int]:
        """Take up to ``most`` bytes of ciphertext, and decrypt what they make whole.

        Raises:
            BlockingIOError: That is nothing.
            OSError: The connection broke, or (``ssl.SSLError``) a record was altered on its way.
        """
        # By its own size: late turns have a smaller one (``shim.lane``).
        place = len(buffer) // 2 + RECORD
        ciphertext = buffer[place:][:most]
        taken = os.readv(self._descriptor, [ciphertext])
        size = self._decrypt(ciphertext[:taken], buffer[:place])
        if size == 0 and taken and not self._is_over:
            raise BlockingIOError
        return taken, size

    def _decrypt(self, ciphertext: memoryview, plaintext: memoryview) -> int:
        size = 0
        for start in range(0, len(ciphertext), MOST_IN_MEMORY):
            self._records.feed(ciphertext[start : start + MOST_IN_MEMORY])
            size += self._records.read_all(plaintext[size:])
        return size


def make_intake(poller: Poller, stream: "ClientStream", decoder: BodyDecoder) -> Intake:
    """What reads a body from a client's socket, whatever that carries.

    Raises:
        OSError: The process has no descriptor left.
    """
    if stream.tls is not None:
        return TlsIntake(poller, stream.tls, decoder)
    return Intake(poller, stream.fileno(), decoder)
