"""How long a line is before some slots: Erlang's formula, and its extension to services of any length.

Uploads reach the line as a Poisson process: they begin as one, and receiving moves each of them by a time of
its own (Newell's displacement theorem), so that the formulas hold however slow the clients are.
"""

import math
from dataclasses import dataclass

from shim.timing import Seconds


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody who asks for a slot meets.

    Attributes:
        busy: Slots held on average; without end where they are too few.
        waits: Part of the requests that wait at all.
        wait: Mean wait, of all of them.
        excess: Variance of how many stand in line, beyond what independent arrivals would make: a line forms
            when it forms, and is long then.
    """

    busy: float
    waits: float
    wait: Seconds
    excess: float


NO_LINE = Line(busy=0.0, waits=0.0, wait=0.0, excess=0.0)
"""Where there are slots for all."""


def line_before(slots: int, arrivals: float, service: Seconds, variation: float) -> Line:
    """The line before ``slots``.

    Args:
        slots: Requests served at once, each by itself.
        arrivals: Requests a second.
        service: Mean time that one holds a slot.
        variation: Variance of that time over the square of its mean (0: all alike, 1: exponential).
    """
    busy = arrivals * service
    waits = waiting_share(slots, busy)
    if busy >= slots:
        return Line(busy, waits, math.inf, math.inf)
    # Allen and Cunneen: the wait of exponential services, by half of what they and ours vary together.
    wait = waits * service / (slots - busy) * (1 + variation) / 2
    standing = arrivals * wait
    # While there is a line at all its length is geometric: with the mean m its square has the mean m + 2m².
    return Line(busy, waits, wait, max(0.0, 2 * standing**2 / waits - standing**2) if waits else 0.0)


def waiting_share(slots: int, busy: float) -> float:
    """Part of the requests that find all ``slots`` held: Erlang's C formula, 1 where the line never ends."""
    if busy >= slots:
        return 1.0
    # Erlang's B by its recursion: factorials of thousands of slots fit no float.
    blocked = 1.0
    for slot in range(1, slots + 1):
        blocked = busy * blocked / (slot + busy * blocked)
    return blocked / (1 - busy / slots * (1 - blocked))


def slots_for(busy: float, waits: float) -> int:
    """The fewest slots with which at most a part ``waits`` of the requests waits (above 0, below 1)."""
    lower = math.floor(busy) + 1
    # Beyond the mean by some ten times its root nobody waits: an end for the search, whatever is asked.
    upper = lower + math.ceil(10 * math.sqrt(busy)) + 10
    while waiting_share(upper, busy) > waits:
        upper *= 2
    while lower < upper:
        middle = (lower + upper) // 2
        if waiting_share(middle, busy) > waits:
            lower = middle + 1
        else:
            upper = middle
    return lower
