"""One connection's TLS on memory: ciphertext in, plaintext out, and the other way round.

The loop and a pump's thread both use it. OpenSSL's objects are for one thread at a time, and Python lets
others run while OpenSSL works: so each call takes a lock, and the thread takes it for a record at a time.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable

# One TLS record holds no more; a larger buffer for each read would only be allocated for nothing.
RECORD = 16 * 1024
# OpenSSL's memory buffers never shrink, and an idle connection keeps what it once needed.
MOST_IN_MEMORY = 64 * 1024


class Records:
    """What OpenSSL does for one connection, on the server's side.

    Each call may raise ``ssl.SSLError``; ``ssl.SSLWantReadError`` where more ciphertext is needed first.

    Attributes:
        session: For questions (version, certificates) alone.
        is_goodbye_read: Whether the other side's close_notify was come upon: nothing follows it.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        """Begin a session."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_goodbye_read = False
        self._lock = threading.Lock()
        # Whoever wants the lock stands in the door until it is had. A thread that takes it again for its next
        # record would else be there first, each time, and the loop wait for its whole turn.
        self._door = threading.Lock()

    # -- in ---------------------------------------------------------------------------------------

    def feed(self, data: memoryview) -> None:
        """Take ciphertext: at most ``MOST_IN_MEMORY``, and what it held is to be read before the next."""
        with self._door, self._lock:
            self._incoming.write(data)

    def shake_hands(self) -> None:
        """Go on with the handshake."""
        with self._door, self._lock:
            self.session.do_handshake()

    def read(self) -> bytes:
        """The plaintext of the next record; empty at the other side's goodbye."""
        with self._door, self._lock:
            piece = self.session.read(RECORD)
        self.is_goodbye_read = not piece
        return piece

    def read_all(self, buffer: memoryview) -> int:
        """Decrypt all whole records into ``buffer``, on a thread; gives the bytes of plaintext.

        A buffer that holds as much as was fed, and a record more, leaves none of them behind.
        """
        size = 0
        # Given a buffer it gives a number, which its type does not say.
        read: Callable[[int, memoryview], int] = self.session.read  # type: ignore[assignment]
        with contextlib.suppress(ssl.SSLWantReadError):
            # The hot loop: 65,536 records a GiB.
            while not self.is_goodbye_read:
                with self._door:
                    self._lock.acquire()
                try:
                    taken = read(RECORD, buffer[size:])
                finally:
                    self._lock.release()
                size += taken
                self.is_goodbye_read = not taken
        return size

    # -- out --------------------------------------------------------------------------------------

    def write(self, data: memoryview) -> int:
        """Encrypt the beginning of ``data``, a record of it; gives how many bytes that were."""
        with self._door, self._lock:
            return self.session.write(data)

    def say_goodbye(self) -> None:
        """Write close_notify."""
        # It complains that the other side has not said goodbye too, which nobody waits for.
        with self._door, self._lock, contextlib.suppress(ssl.SSLError):
            self.session.unwrap()

    @property
    def unsent(self) -> int:
        """Bytes of ciphertext to be sent: what was written, and what TLS itself has to say."""
        with self._door, self._lock:
            return self._outgoing.pending

    def take_unsent(self) -> bytes:
        """Those bytes, all of them."""
        with self._door, self._lock:
            return self._outgoing.read()

    @property
    def has_news(self) -> bool:
        """Whether there may be something to read or to send, though no byte comes."""
        with self._door, self._lock:
            return bool(self._incoming.pending or self._outgoing.pending or self.is_goodbye_read)
