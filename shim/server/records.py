"""One connection's TLS on memory: ciphertext in, plaintext out, and the other way round.

The loop and a pump's thread both use it. OpenSSL's objects are for one thread at a time, and Python lets
others run while OpenSSL works: so a lock is held, by the thread for no longer than the loop can wait.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

# One TLS record holds no more; a larger buffer for each read would only be allocated for nothing.
RECORD = 16 * 1024
# OpenSSL's memory buffers never shrink, and an idle connection keeps what it once needed.
MOST_IN_MEMORY = 64 * 1024


class Turn:
    """A lock for the loop, as a ``with`` block, and for one thread that gives way to it.

    A plain lock that a thread gives back and takes again would nearly always be the thread's: who waits for
    it must wake up first. And to take it anew for each record costs a tenth of what its decryption does.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self.lock = threading.Lock()
        self.is_wanted = False

    def __enter__(self) -> None:
        self._door.acquire()
        self.is_wanted = True
        self.lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_wanted = False
        self.lock.release()
        self._door.release()

    def give_way(self) -> None:
        """Let the loop have the lock that the calling thread holds; returns with the lock held again."""
        self.lock.release()
        # The loop stands in the door as long as it waits for the lock, and as long as it has it.
        with self._door:
            self.lock.acquire()


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
        self._turn = Turn()

    # -- in ---------------------------------------------------------------------------------------

    def feed(self, data: memoryview) -> None:
        """Take ciphertext: at most ``MOST_IN_MEMORY``, and what it held is to be read before the next."""
        with self._turn:
            self._incoming.write(data)

    def shake_hands(self) -> None:
        """Go on with the handshake."""
        with self._turn:
            self.session.do_handshake()

    def read(self) -> bytes:
        """The plaintext of the next record; empty at the other side's goodbye."""
        with self._turn:
            piece = self.session.read(RECORD)
        self.is_goodbye_read = not piece
        return piece

    def read_all(self, buffer: memoryview) -> int:
        """Decrypt all whole records into ``buffer``, on a thread; gives the bytes of plaintext.

        A buffer that holds as much as was fed, and a record more, leaves none of them behind.
        """
        size = 0
        turn = self._turn
        # Given a buffer it gives a number, which its type does not say.
        read: Callable[[int, memoryview], int] = self.session.read  # type: ignore[assignment]
        with turn.lock, contextlib.suppress(ssl.SSLWantReadError):
            # The hot loop: 65,536 records a GiB.
            while taken := read(RECORD, buffer[size:]):
                size += taken
                if turn.is_wanted:
                    turn.give_way()
            self.is_goodbye_read = True
        return size

    # -- out --------------------------------------------------------------------------------------

    def write(self, data: memoryview) -> int:
        """Encrypt the beginning of ``data``, a record of it; gives how many bytes that were."""
        with self._turn:
            return self.session.write(data)

    def say_goodbye(self) -> None:
        """Write close_notify."""
        # It complains that the other side has not said goodbye too, which nobody waits for.
        with self._turn, contextlib.suppress(ssl.SSLError):
            self.session.unwrap()

    @property
    def unsent(self) -> int:
        """Bytes of ciphertext to be sent: what was written, and what TLS itself has to say."""
        with self._turn:
            return self._outgoing.pending

    def take_unsent(self) -> bytes:
        """Those bytes, all of them."""
        with self._turn:
            return self._outgoing.read()

    @property
    def has_news(self) -> bool:
        """Whether there may be something to read or to send, though no byte comes."""
        with self._turn:
            return bool(self._incoming.pending or self._outgoing.pending or self.is_goodbye_read)
