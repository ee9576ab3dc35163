"""What an operator should know now, and what to do about it: decided once, for the page and for the terminal.

Pure: from the numbers that the live views show to a state in a word and a few notices, the worst first.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shim.app.health import Readiness, ServerHealth
from shim.observe.snapshot import SERVING, Snapshot
from shim.spool.space import Space

# From here on the spool is called full, and filling: the next large body may not fit.
FULL, FILLING = 0.95, 0.8
# Of the whole disk, what is left above the reserve when it is time to say so.
NEARLY_RESERVED = 0.02

_TAKE_BACK = " Take a drained one back by POST to /servers/restore?server=URL on the admin listener."


class State(enum.StrEnum):
    """The shim in a word."""

    BROKEN = "broken"
    DRAINING = "draining"
    FULL = "full"
    BUSY = "busy"
    IDLE = "idle"


class Level(enum.StrEnum):
    """How bad it is."""

    BAD = "bad"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know: what is so, and what to do."""

    level: Level
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is judged.

    Attributes:
        limit: The spool's budget in bytes, or ``UNLIMITED``.
        space: Of its disk; None where it does not say.
        lately: Refusals of the last minute, by code.
    """

    whole: Snapshot
    readiness: Readiness
    servers: Sequence[ServerHealth]
    limit: float
    space: Space | None
    lately: Mapping[str, int]

    @property
    def share(self) -> float:
        """How much of the spool's budget is taken, promised bytes included."""
        return max(self.whole.held, self.whole.leased) / self.limit if self.limit else 1.0

    @property
    def is_full(self) -> bool:
        """Whether the spool has no room for a large body."""
        return self.share >= FULL or "spool_full" in self.lately


def judge(facts: Facts) -> tuple[State, list[Notice]]:
    """The state, and what there is to say of it."""
    notices = sorted(_notices(facts), key=lambda notice: list(Level).index(notice.level))
    return _state(facts), notices


def _state(facts: Facts) -> State:
    if facts.whole.life != SERVING:
        return State.DRAINING
    if not facts.readiness.ready:
        return State.BROKEN
    if facts.is_full:
        return State.FULL
    return State.BUSY if facts.whole.uploads else State.IDLE


def _notices(facts: Facts) -> Iterator[Notice]:
    if facts.whole.life != SERVING:
        text = "Uploads under way may end (timeouts.drain); new ones are sent elsewhere by the load balancer."
        yield Notice(Level.WARNING, f"The shim is {facts.whole.life}", text)
    yield from _of_servers(facts.servers)
    if facts.readiness.spool:
        text = f"{facts.readiness.spool} Make room on its disk, or look at the kernel's log."
        yield Notice(Level.BAD, "The spool takes no bodies", text)
    else:
        yield from _of_spool(facts)
    yield from _of_queue(facts)


def _of_servers(servers: Sequence[ServerHealth]) -> Iterator[Notice]:
    for upstream in dict.fromkeys(server.upstream for server in servers):
        every = [server for server in servers if server.upstream == upstream]
        # One whose name leads elsewhere now is no loss, where others are left.
        group = [server for server in every if not server.is_leaving] or every
        out = [server for server in group if not server.takes_requests]
        if not out:
            continue
        # What is to be done differs: one that is drained, up or not, is out until an operator takes it back.
        drained = [server for server in out if server.is_drained]
        text = f"{'; '.join(map(_reason, out))}."
        if len(out) < len(group):
            title = f"{len(out)} of {len(group)} servers of upstream {upstream} "
            title += f"{'is' if len(out) == 1 else 'are'} {_outage(len(out), len(drained))}"
            yield Notice(Level.WARNING, title, text + (_TAKE_BACK if drained else ""))
        elif not drained:
            text = f"{text} Start one, or correct its address; until then uploads end in 502 or 504."
            yield Notice(Level.BAD, f"No server of upstream {upstream} is up", text)
        else:
            text += f"{_TAKE_BACK} Until then uploads that need one end in 502, 503 or 504."
            yield Notice(Level.BAD, f"No server of upstream {upstream} takes requests", text)


def _outage(out: int, drained: int) -> str:
    if not drained:
        return "down"
    return "drained" if drained == out else "down or drained"


def _reason(server: ServerHealth) -> str:
    address, reason = str(server.address), server.health.reason.rstrip(".")
    if server.is_drained:
        return f"{address} is drained"
    if server.is_leaving:
        return f"{address}: its name does not lead to it any more"
    return reason if address in reason else f"{address}: {reason}"


def _of_spool(facts: Facts) -> Iterator[Notice]:
    space = facts.space
    if facts.is_full:
        text = "Large uploads are refused with 503 spool_full until others end. If it happens often, "
        yield Notice(Level.BAD, "The spool is full", f"{text}raise spool.max_total, or get a larger disk.")
    elif facts.share >= FILLING:
        text = "Uploads are refused with 503 spool_full when it is full; they go on when others have ended."
        yield Notice(Level.WARNING, f"The spool is {facts.share:.0%} full", text)
    if space is not None and 0 <= space.free - space.reserve < NEARLY_RESERVED * space.total:
        text = (
            "Something else may be filling it. Below spool.min_free uploads are refused with 507 disk_full."
        )
        yield Notice(Level.WARNING, "The spool's disk is nearly down to its reserve", text)


def _of_queue(facts: Facts) -> Iterator[Notice]:
    waiting = sum(facts.whole.waiting.values())
    refused = facts.lately.keys() & {"queue_full", "queue_timeout"}
    if waiting and refused:
        text = f"{waiting} requests wait, and some were refused: {', '.join(sorted(refused))}. "
        text += "Give the server more workers."
        yield Notice(Level.WARNING, "The line for a server does not empty", text)
