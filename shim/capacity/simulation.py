"""The same load played event by event under simulated time, to check the arithmetic.

Whose turn it is, is decided by the shim's own ``choose``, and when a body of known length asks for its slot
by what ``proxy.pace`` computes; the rest is clients that send evenly and workers that take evenly.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from shim.admission.slots import Capacity, Held, Holder, Kind, Waiter, choose
from shim.capacity.load import Load, Way
from shim.capacity.watch import Watch
from shim.proxy.pace import FIRST_LOOK, LEAST_LOOK, LONGEST_LOOK, LOOK_SHARE, MARGIN
from shim.timing import Seconds


@dataclass(frozen=True, slots=True)
class Arrival:
    """One upload of a trace: when it begins, its bytes, and whether its length is known."""

    time: Seconds
    size: float
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all uploads of a run; rates in bytes per second."""

    way: Way
    slots: int
    client_rate: float
    drain_rate: float
    answer: Seconds = 0.0


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        watch: What was held over time.
        waits: Seconds that each upload stood in line, in the order of their turns.
        ended: When the last upload had ended.
    """

    watch: Watch
    waits: list[Seconds] = field(default_factory=list)
    ended: Seconds = 0.0

    @property
    def waiting_share(self) -> float:
        """Part of the uploads that waited at all."""
        return sum(wait > 0 for wait in self.waits) / len(self.waits)


def draw_trace(load: Load, uploads: int, seed: int) -> list[Arrival]:
    """A trace of the load: always the same one for the same seed.

    Sizes are drawn one from each of as many equal parts of their distribution, in random order: otherwise
    a few giants more or less would tell more of chance than of the load.
    """
    chance = random.Random(seed)  # noqa: S311 - a trace, no secret
    places = [(place + chance.random()) / uploads for place in range(uploads)]
    chance.shuffle(places)
    trace, now = [], 0.0
    for place in places:
        now += chance.expovariate(load.arrivals)
        trace.append(Arrival(now, load.sizes.quantile(place), chance.random() < load.known))
    return trace


def asks_after(arrival: Arrival, rules: Rules) -> Seconds:
    """How long after its begin an upload asks for a slot: ``proxy.pace`` under a client that sends evenly."""
    receiving = arrival.size / rules.client_rate
    if rules.way is Way.STRAIGHT:
        return 0.0
    if rules.way is Way.WHOLE or not arrival.is_known:
        return receiving
    draining = arrival.size / rules.drain_rate
    look = FIRST_LOOK + min(LONGEST_LOOK, max(LEAST_LOOK, LOOK_SHARE * draining))
    # What is whole before the client has been looked at, goes out at once.
    return min(receiving, max(look, receiving - MARGIN * draining))


def simulate(
    trace: Iterable[Arrival], rules: Rules, *, begin: Seconds = 0.0, end: Seconds = math.inf, step: Seconds
) -> Outcome:
    """Play a trace to its end.

    Args:
        trace: In the order of time.
        rules: How the uploads fare.
        begin: From when on it is watched: before, it fills up from nothing.
        end: Until when it is watched.
        step: Seconds between two samples of what is held.
    """
    run = _Run(rules, Outcome(Watch(begin, end, step)))
    run.play(sorted(trace, key=lambda arrival: arrival.time))
    return run.outcome


class _Run:
    """One play: a list of what happens when, and who holds what meanwhile."""

    def __init__(self, rules: Rules, outcome: Outcome) -> None:
        self._rules = rules
        self.outcome = outcome
        self._watch = outcome.watch
        self._capacity = Capacity((rules.slots,), rules.slots)
        self._held = Held(servers=1)
        self._line: deque[_Upload] = deque()
        self._events: list[tuple[Seconds, int, _Upload, _Event]] = []
        # Of what happens at the same moment, the earlier planned comes first, and no two are ever compared.
        self._order = count()

    def play(self, trace: Sequence[Arrival]) -> None:
        for number, arrival in enumerate(trace):
            self._plan(arrival.time, _Upload(number, arrival), self._begin)
        while self._events:
            now, _, upload, event = heapq.heappop(self._events)
            self._watch.advance(now)
            event(now, upload)
        self.outcome.ended = self._watch.now

    def _plan(self, time: Seconds, upload: "_Upload", event: "_Event") -> None:
        heapq.heappush(self._events, (time, next(self._order), upload, event))

    # -- what happens ---------------------------------------------------------------------------------

    def _begin(self, now: Seconds, upload: "_Upload") -> None:
        rules, arrival = self._rules, upload.arrival
        self._watch.uploads += 1
        self._fill(arrival, rules.client_rate)
        self._watch.leased += arrival.size if self._spools and arrival.is_known else 0.0
        # Received before it asks, where both are at once: a body that is whole is forwarded whole.
        self._plan(now + arrival.size / rules.client_rate, upload, self._received)
        self._plan(now + asks_after(arrival, rules), upload, self._ask)

    def _received(self, _: Seconds, upload: "_Upload") -> None:
        self._fill(upload.arrival, -self._rules.client_rate)

    def _fill(self, arrival: Arrival, more: float) -> None:
        """Tell that so many more bytes a second come in."""
        if self._spools:
            self._watch.filling += more
            self._watch.leasing += 0.0 if arrival.is_known else more

    def _ask(self, now: Seconds, upload: "_Upload") -> None:
        upload.asked = now
        self._line.append(upload)
        self._take_turns(now)

    def _take_turns(self, now: Seconds) -> None:
        # All of one project: the first in line is the one that choose() takes, so only it need be shown.
        while self._line and choose([self._line[0].waiter], self._held, self._capacity, 0):
            upload = self._line.popleft()
            self._held.add(upload.holder)
            self._watch.slots += 1
            self.outcome.waits.append(now - upload.asked)
            self._plan(self._leaves(now, upload), upload, self._end)

    def _leaves(self, now: Seconds, upload: "_Upload") -> Seconds:
        """When the server has answered: after the slower side's last byte."""
        arrival, rules = upload.arrival, self._rules
        received = arrival.time + arrival.size / rules.client_rate
        return max(now + arrival.size / rules.drain_rate, received) + rules.answer

    def _end(self, now: Seconds, upload: "_Upload") -> None:
        self._held.remove(upload.holder)
        self._watch.slots -= 1
        self._watch.uploads -= 1
        if self._spools:
            self._watch.held -= upload.arrival.size
            self._watch.leased -= upload.arrival.size
        self._take_turns(now)

    @property
    def _spools(self) -> bool:
        return self._rules.way is not Way.STRAIGHT


@dataclass(slots=True)
class _Upload:
    """One under way."""

    number: int
    arrival: Arrival
    asked: Seconds = 0.0

    @property
    def waiter(self) -> Waiter:
        return Waiter(self.number, Kind.UPLOAD, project=0)

    @property
    def holder(self) -> Holder:
        return Holder(self.number, Kind.UPLOAD, project=0, server=0)


_Event = Callable[[Seconds, _Upload], None]
