"""What the roster of workers wants done, and what a worker can be told: plain values between the two."""

import enum
from dataclasses import dataclass
from typing import TypeAlias


class Order(enum.Enum):
    """What a worker is told; the values go over its channel."""

    RETIRE = "retire"  # others take new connections; end when those that are open have ended
    DRAIN = "drain"  # the whole shim ends: take no new requests
    NOW = "now"  # do not wait for anybody


@dataclass(frozen=True, slots=True)
class Start:
    """Start worker ``number`` under the configuration of ``generation``."""

    number: int
    generation: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Give worker ``number`` an order."""

    number: int
    order: Order


@dataclass(frozen=True, slots=True)
class Kill:
    """End worker ``number``, which does not listen."""

    number: int


@dataclass(frozen=True, slots=True)
class Say:
    """Something for the log."""

    text: str
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """All is over; the exit status says how."""

    failed: bool


Step: TypeAlias = Start | Tell | Kill | Say | End
