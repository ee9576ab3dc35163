"""The run of one scenario: everybody proves exactness first, then all are measured in turns.

It knows participants only as things that can prove and measure; what they start and send is their affair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.engine import Inexact
from shim.bench.ordering import order

Sample = Mapping[str, float]
"""What one run of one participant gave, by metric: seconds, bytes, counts."""


class Participant(Protocol):
    """Something that does the scenario's work, and can be measured while it does."""

    @property
    def name(self) -> str:
        """What it is called in the results."""

    def prove(self) -> None:
        """Do the work once with everything compared, which also warms it up.

        Raises:
            Inexact: It did not do that work.
        """

    def measure(self) -> Sample:
        """Do the work once.

        Raises:
            Inexact: It did not do that work.
        """


@dataclass
class Outcome:
    """What came of a scenario.

    Attributes:
        samples: By participant, one for each repetition; None where there is none.
        void: By participant, why its results do not count.
        unsettled: Before how many samples the page cache had not come to rest.
    """

    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)
    unsettled: int = 0

    def values(self, name: str, metric: str) -> list[float | None]:
        """A participant's values of a metric, in the order of the repetitions."""
        if name in self.void:
            return []
        samples = self.samples.get(name, [])
        return [None if sample is None else sample.get(metric) for sample in samples]


class Contest:
    """Participants in turns.

    Args:
        settle: Called before each run; whether the machine has come to rest.
        tell: Called with a line on what is being done.
    """

    def __init__(
        self,
        participants: Sequence[Participant],
        repetitions: int,
        settle: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._participants = participants
        self._repetitions = repetitions
        self._settle = settle
        self._tell = tell
        self._outcome = Outcome(samples={participant.name: [] for participant in participants})

    def run(self) -> Outcome:
        """Prove all, then measure all, again and again."""
        for participant in self._participants:
            self._tell(f"exactness, {participant.name}")
            self._prove(participant)
        for repetition in range(self._repetitions):
            for participant in order(self._participants, repetition):
                self._tell(f"repetition {repetition + 1} of {self._repetitions}, {participant.name}")
                self._outcome.samples[participant.name].append(self._measure(participant))
        return self._outcome

    def _prove(self, participant: Participant) -> None:
        self._settled()
        try:
            participant.prove()
        except Inexact as fault:
            self._outcome.void[participant.name] = str(fault)

    def _measure(self, participant: Participant) -> Sample | None:
        # Once void, always void: the others are not held up by it.
        if participant.name in self._outcome.void:
            return None
        self._settled()
        try:
            return participant.measure()
        except Inexact as fault:
            self._outcome.void[participant.name] = str(fault)
            return None

    def _settled(self) -> None:
        if not self._settle():
            self._outcome.unsettled += 1
