"""Whether the shared server answers, and when it is to be spoken to next: pure decisions, told the time.

The circuit breaker: after one failure nobody asks any more, but one try after growing pauses, which no
request waits for.
"""

from shim.timing import Seconds

# A declaration is due so many times in the life of a row: two may be lost before the leases are.
BEATS_IN_LIFE = 3
FIRST_PAUSE: Seconds = 0.25


class Contact:
    """One process's contact with the shared server.

    Attributes:
        is_there: Whether it answered last; before the first word it did not.
        reason: Why it did not.
        due: When all that is held is to be declared next, as a clock reading.
    """

    def __init__(self, life: Seconds, now: Seconds) -> None:
        """Take how long a row lives without a turn, and the time."""
        self._beat = life / BEATS_IN_LIFE
        self._pause = min(FIRST_PAUSE, self._beat)
        self._is_new = True
        self.is_there = False
        self.reason = "it was not asked yet"
        self.due = now

    def __repr__(self) -> str:
        return f"<Contact {'there' if self.is_there else f'away: {self.reason}'}, due {self.due:.1f}>"

    def is_due(self, now: Seconds) -> bool:
        """Whether all that is held is to be declared now."""
        return now >= self.due

    def heard(self, now: Seconds, *, declared: bool) -> bool:
        """It answered; whether that is news."""
        is_news = not self.is_there
        self._is_new, self.is_there, self.reason = False, True, ""
        self._pause = min(FIRST_PAUSE, self._beat)
        if declared:
            self.due = now + self._beat
        return is_news

    def failed(self, now: Seconds, reason: str) -> bool:
        """It did not answer, or made no sense; whether that is news."""
        is_news = self.is_there or self._is_new
        self._is_new, self.is_there, self.reason = False, False, reason
        self.due = now + self._pause
        # Never longer than between two declarations: when it is back, it knows of us as soon as ever.
        self._pause = min(2 * self._pause, self._beat)
        return is_news
