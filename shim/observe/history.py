"""What was counted lately, by the moment: the last hour in steps of ten seconds, for the live views.

A process notes how it stands whenever somebody looks, and every few seconds anyway. Steps are numbered by
the machine's monotonic clock, which all processes share: so the histories of several add up step by step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shim.timing import Seconds

STEP: Seconds = 10.0
HOUR = 360
"""Steps that are kept, beside the one under way; older ones are forgotten."""


@dataclass
class Step:
    """What fell into one step.

    Attributes:
        received: Body bytes that came from clients.
        uploads: The most requests with a body that were seen under way at once.
        refusals: The shim's own answers, by code.
    """

    received: int = 0
    uploads: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def include(self, other: "Step") -> None:
        """Add what another process counted in the same step."""
        self.received += other.received
        self.uploads += other.uploads
        self.refusals.update(other.refusals)


class History:
    """The last hour.

    Attributes:
        steps: By number; those in which nothing happened take no room.
    """

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self._received = 0
        self._refusals: Counter[str] = Counter()

    # -- counting -----------------------------------------------------------------------------------

    def note(self, now: Seconds, *, received: int, uploads: int, refusals: Mapping[str, int]) -> None:
        """Write down how it stands now.

        Args:
            now: A reading of the monotonic clock.
            received: Body bytes received since the process began.
            uploads: Requests with a body under way.
            refusals: The shim's own answers since the process began, by code.
        """
        grown = received - self._received
        refused = Counter(refusals) - self._refusals
        self._received, self._refusals = received, Counter(refusals)
        if not (grown or refused or uploads):
            return
        number = _number(now)
        step = self.steps.setdefault(number, Step())
        step.received += grown
        step.uploads = max(step.uploads, uploads)
        step.refusals.update(refused)
        self._forget(number)

    def include(self, other: "History") -> None:
        """Add what another process has noted."""
        for number, step in other.steps.items():
            self.steps.setdefault(number, Step()).include(step)
        if self.steps:
            # Whose last step is long ago must not keep what the others have forgotten.
            self._forget(max(self.steps))

    def _forget(self, number: int) -> None:
        for old in [known for known in self.steps if known < number - HOUR]:
            del self.steps[old]

    # -- looking back -------------------------------------------------------------------------------

    def rates(self, now: Seconds, count: int) -> list[float]:
        """Bytes per second in each of the last ``count`` whole steps, the oldest first."""
        return self._line(now, count, lambda step: step.received / STEP)

    def uploads(self, now: Seconds, count: int) -> list[int]:
        """The most uploads under way in each of them."""
        return self._line(now, count, lambda step: step.uploads)

    def refused(self, now: Seconds, count: int) -> list[int]:
        """Refusals in each of them, of all codes."""
        return self._line(now, count, lambda step: step.refusals.total())

    def refusals(self, now: Seconds, steps: int = HOUR) -> dict[str, int]:
        """Refusals of the last hour, or so many steps up to now, by code: the most frequent first."""
        number = _number(now)
        sums: Counter[str] = Counter()
        for known, step in self.steps.items():
            if number - steps < known <= number:
                sums.update(step.refusals)
        return dict(sums.most_common())

    def _line(self, now: Seconds, count: int, read: Callable[[Step], Any]) -> list[Any]:
        # The step under way is left out: it would end every line in a fall.
        end = _number(now)
        return [read(self.steps.get(number, _NOTHING)) for number in range(end - count, end)]

    # -- as JSON has it -----------------------------------------------------------------------------

    def encode(self) -> list[list[Any]]:
        """A list for each step: number, bytes, uploads, refusals by code."""
        return [[number, step.received, step.uploads, step.refusals] for number, step in self.steps.items()]

    @classmethod
    def decode(cls, told: Iterable[Sequence[Any]]) -> "History":
        """What ``encode`` gave; it is to be looked at and added up, not to be noted in."""
        history = cls()
        for number, received, uploads, refusals in told:
            history.steps[number] = Step(received, uploads, Counter(refusals))
        return history


_NOTHING = Step()


def _number(now: Seconds) -> int:
    return int(now // STEP)
