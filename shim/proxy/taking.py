"""A client as the taker of one answer's body: what it took, how long it was waited for, whether it keeps up.

All that it is sent before its server is done goes through here, so that ``Lag`` hears of every second.
"""

from shim.asgi import Moved
from shim.observe.journal import Record
from shim.proxy.lag import Lag
from shim.proxy.request import Answer
from shim.timing import UNLIMITED, Clock, Seconds


class AnswerTaker:
    """One client, as far as one answer goes."""

    def __init__(self, answer: Answer, record: Record, clock: Clock, *, is_spoolable: bool) -> None:
        """Take whom it goes to, where that is counted, and whether there is a way for who falls behind."""
        self._answer = answer
        self._record = record
        self._clock = clock
        self._lag = Lag()
        # Where there is no other way nobody is behind: the server waits, however slow its client is.
        self._patient_until: Seconds = 0.0 if is_spoolable else UNLIMITED
        self._waited: Seconds = 0.0
        self._since: Seconds | None = None  # when the write under way began

    @property
    def is_under_way(self) -> bool:
        """Whether the client is waited for just now; else it waits for its server."""
        return self._since is not None

    def is_behind(self) -> bool:
        """Whether it takes less than it should, so that its server had better not wait for it."""
        now = self._clock()
        if now < self._patient_until:
            return False
        waiting = 0.0 if self._since is None else now - self._since
        return self._lag.is_behind(self._record.sent, self._waited + waiting)

    async def write(self, piece: bytes | memoryview) -> None:
        """Send bytes; returns when the client's side has taken them, and raises as ``Answer.write`` does."""
        self._since = self._clock()
        try:
            await self._answer.write(piece)
        finally:
            self._waited += self._clock() - self._since
            self._since = None
        self._record.sent += len(piece)

    def onlooker(self) -> Moved:
        """Who is told of what a faster way sends, and says whether it may go on."""
        sent, waited = self._record.sent, self._waited

        def moved(size: int, seconds: Seconds) -> bool:
            self._record.sent, self._waited = sent + size, waited + seconds
            return not self.is_behind()

        return moved

    def bear_with(self, seconds: Seconds) -> None:
        """Believe nothing of it for so long: there is no room in the spool now."""
        self._patient_until = self._clock() + seconds

    def begin_anew(self) -> None:
        """It has caught up: what it took until now says nothing any more."""
        self._lag.begin(self._record.sent, self._waited)
