"""A worker for those who give turns on threads: it notes each, and stays in it while a test says so."""

import queue
import threading

PATIENCE = 10


class Noted:
    """A worker that notes its turns, and stays in them while its gate is closed.

    Attributes:
        size: Bytes of the buffer that its last turn came with.
        turns: The threads of those that nobody has asked for yet.
    """

    def __init__(self, gate=None):
        self.size = 0
        self.turns = queue.SimpleQueue()
        self._gate = gate

    def step(self, buffer):
        """Take a turn."""
        self.size = len(buffer)
        self.turns.put(threading.current_thread())
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)

    def turn(self):
        """The next turn's thread, waiting for it."""
        return self.turns.get(timeout=PATIENCE)

    @property
    def is_idle(self):
        """Whether no turn comes, also not in a moment."""
        try:
            self.turns.get(timeout=0.05)
        except queue.Empty:
            return True
        return False
