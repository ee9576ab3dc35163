"""What comes in, and how an upload of a size goes on from there: the model behind arithmetic and simulation.

An upload arrives at its client's pace, waits for a slot, and goes out at its server's pace. When it asks for
the slot depends on the way that it takes.
"""

import enum
from dataclasses import dataclass

from shim.capacity.sizes import Sizes
from shim.proxy.pace import MARGIN
from shim.timing import Seconds


class Way(enum.Enum):
    """How an upload reaches its server."""

    STRAIGHT = "without the shim"
    WHOLE = "spooled whole"
    CUT_THROUGH = "cut through"


@dataclass(frozen=True, slots=True)
class Kind:
    """The part of a load that fares alike.

    Attributes:
        way: That it takes.
        share: Of all uploads (0 to 1).
        is_known: Whether its lengths are known before the body, and so leased at once.
    """

    way: Way
    share: float
    is_known: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What clients send, and what servers can take.

    Attributes:
        arrivals: Uploads that begin in a second, on average; independent of each other (Poisson).
        sizes: How large they are.
        client_rate: Bytes per second that one client sends.
        drain_rate: Bytes per second that one worker of a server takes in.
        answer: How long a worker is busy after the last byte.
        known: Part of the uploads whose length is known before the body (0 to 1): only these can cut through.
    """

    arrivals: float
    sizes: Sizes
    client_rate: float
    drain_rate: float
    answer: Seconds = 0.0
    known: float = 1.0

    def kinds(self, way: Way) -> tuple["Kind", ...]:
        """What becomes of the uploads where ``way`` is asked for: those of known length first."""
        unknown = Way.WHOLE if way is Way.CUT_THROUGH else way
        kinds = (Kind(way, self.known, is_known=True), Kind(unknown, 1 - self.known, is_known=False))
        return tuple(kind for kind in kinds if kind.share > 0)

    def slowness(self, way: Way) -> tuple[float, float]:
        """Seconds a byte, by which an upload's size counts.

        The first is how long it does without a slot, the second how long it then holds one.
        """
        receive, drain = 1 / self.client_rate, 1 / self.drain_rate
        if way is Way.STRAIGHT:
            # The worker takes part in all of it: it waits for the slower side.
            return 0.0, max(receive, drain)
        if way is Way.WHOLE:
            return receive, drain
        # Forwarding begins when what is still to come takes no longer than what is to go out (decision 10).
        return max(0.0, receive - MARGIN * drain), drain
