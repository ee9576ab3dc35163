"""A shared server in memory: the script's arithmetic in Python, with a clock and with ways to fail.

``SharedRows`` is also what the real script is compared with.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from shim.cloud.server import CloudAway
from shim.cloud.values import CloudLimits, Outcome, Turn, Verdict
from tests.fakes.loops import loop_time

TIMEOUT = 0.25


@dataclass
class Row:
    """What one member holds, as the server knows it."""

    turn: int
    until: float
    uploads: Counter = field(default_factory=Counter)
    sizes: Counter = field(default_factory=Counter)

    def add(self, change):
        for counts, amount in ((self.uploads, change.uploads), (self.sizes, change.size)):
            counts[change.project] = max(0, counts[change.project] + amount)


class SharedRows:
    """The rows of all members of one cloud."""

    def __init__(self):
        self.rows: dict[str, Row] = {}
        self.lists: dict[str, bytes] = {}

    def expire(self, now):
        self.rows = {name: row for name, row in self.rows.items() if row.until > now}

    @property
    def uploads(self):
        return sum(row.uploads.total() for row in self.rows.values())

    def uploads_of(self, project):
        return sum(row.uploads[project] for row in self.rows.values())

    def bytes_of(self, project):
        return sum(row.sizes[project] for row in self.rows.values())

    def take_turn(self, name, turn: Turn, limits: CloudLimits, life, now) -> Outcome:
        self.expire(now)
        row = self.rows.get(name)
        if turn.declared is None:
            if row is None or row.turn != turn.number - 1:
                return Outcome(is_known=False)
        elif row is not None and row.turn >= turn.number:
            return Outcome(is_known=False)
        else:
            row = self.rows[name] = Row(turn.number, now + life)
        row.turn, row.until = turn.number, now + life
        if turn.published:
            self.lists[name] = turn.published
        for change in turn.declared or ():
            row.add(change)
        verdicts = []
        for change in turn.changes:
            verdicts.append(self._judge(change, limits))
            if verdicts[-1] is Verdict.FITS:
                row.add(change)
        return Outcome(True, len(self.rows), self.uploads, tuple(verdicts))

    def _judge(self, change, limits):
        if (
            change.uploads > 0
            and self.uploads_of(change.project) + change.uploads > limits.uploads_of_project
        ):
            return Verdict.UPLOADS
        if change.size > 0 and self.bytes_of(change.project) + change.size > limits.bytes_of_project:
            return Verdict.BYTES
        if change.uploads > 0 and self.uploads + change.uploads > limits.uploads:
            return Verdict.TOTAL
        return Verdict.FITS


class FakeServer:
    """One member's way to ``SharedRows``.

    Attributes:
        fault: ``"refuses"`` fails at once, ``"hangs"`` after the timeout; ``"deaf"`` hears it, and hangs.
        delay: Seconds that an answer takes.
        calls: Turns that were begun.
    """

    def __init__(self, rows, name, limits, life):
        self.rows, self.name, self.limits, self.life = rows, name, limits, life
        self.fault = ""
        self.delay = 0.0
        self.calls: list[Turn] = []
        self.closed = False

    async def take_turn(self, turn):
        self.calls.append(turn)
        if self.fault == "refuses":
            raise CloudAway("connection refused")
        outcome = None
        if self.fault != "hangs":
            outcome = self.rows.take_turn(self.name, turn, self.limits, self.life, loop_time())
        if self.fault:
            await asyncio.sleep(TIMEOUT)
            raise CloudAway("no answer within 0.25 s")
        await asyncio.sleep(self.delay)
        return outcome

    async def leave(self):
        self.rows.rows.pop(self.name, None)

    async def published(self):
        return [*self.rows.lists.values()]

    async def close(self):
        self.closed = True
