"""The rows of one line in the shared table: who waits and who holds, of several processes.

A row is a few words with its state among them, and the state is written last: whatever moment a process is
killed in, a row is there whole or not at all. All of it happens with the table's lock held (``step``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from shim.errors import DiskError
from shim.ledger import layout
from shim.ledger.areas import claim_area
from shim.ledger.table import LeaseTable
from shim.ledger.upkeep import RECOVERY, clear_rows


@dataclass(frozen=True, slots=True)
class Row:
    """A request in a line.

    Attributes:
        owner: The process that it belongs to, by its slot.
        server: Whose slot it holds; None where it waits.
        turn: The last turn of its project that is known of.
    """

    owner: int
    server: int | None
    number: int
    kind: int
    project: int
    avoided: int = 0
    turn: int = 0

    def after(self, turn: int, server: int | None) -> "Row":
        """The same request after a turn of its project's, or its own: then with a slot of a server."""
        # Not by dataclasses.replace: it takes longer than all else in a step together.
        return Row(self.owner, server, self.number, self.kind, self.project, self.avoided, turn)


class Rows:
    """One line's rows, as one process sees them.

    Attributes:
        owner: What this process is called in them.
    """

    def __init__(self, table: LeaseTable, name: str) -> None:
        """Find the line's area, by its name, or make it.

        Raises:
            LimitReached: There is no place for one more, no room on the disk, or the lock was not to be had.
        """
        self._table = table
        self._words = table.words
        self.owner = table.slot
        self._area = claim_area(table, name)
        self._header = layout.area_header(self._area)
        self._seen = -1
        self._known: dict[int, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"<Rows of area {self._area}: {len(self._known)} in use>"

    def step(self) -> "Step":
        """The lock for a step; gives what others have changed since the last one, by place (None: gone).

        Raises:
            LimitReached: The lock was not to be had, or the table is damaged.
        """
        return Step(self._table, self.news)

    @property
    def turn(self) -> int:
        """Turns given so far."""
        return self._words[self._header + layout.TURN]

    @property
    def passed_over(self) -> int:
        """Turns in a row in which the one that has waited longest was not chosen."""
        return self._words[self._header + layout.PASSED_OVER]

    # -- within a step ------------------------------------------------------------------------------

    def add(self, row: Row) -> int | None:
        """Write a new row; its place, or None where there is none left.

        One that has a slot has got it in the turn that it names, when nobody waited.
        """
        top = self._words[self._header + layout.TOP]
        for place in range(min(top + 1, layout.ROWS)):
            if place not in self._known:
                break
        else:
            return None
        words = (self._state(row), row.owner, row.number, row.kind, row.project, row.avoided, row.turn)
        self._note_change()
        if row.server is not None:
            self._note_turns(row.turn, 0)
        first = layout.row(self._area, place)
        for offset, word in enumerate(words[1:], 1):
            self._words[first + offset] = word
        self._words[self._header + layout.TOP] = max(top, place + 1)
        # Last: of a process that is killed before it there is no row, and after it a whole one.
        self._words[first] = words[0]
        self._known[place] = words
        return place

    def hold(self, place: int, server: int, turn: int, passed_over: int) -> None:
        """A row gets a slot of a server, in this turn."""
        self.note_turn(place, turn)
        self._note_turns(turn, passed_over)
        self._write(place, layout.STATE, layout.HOLDING + server)

    def note_turn(self, place: int, turn: int) -> None:
        """A row's project has had a turn."""
        self._write(place, layout.LAST_TURN, turn)

    def remove(self, place: int) -> None:
        """A row's request has gone."""
        self._write(place, layout.STATE, layout.FREE)
        del self._known[place]
        top = self._words[self._header + layout.TOP]
        while top and top - 1 not in self._known:
            top -= 1
        self._words[self._header + layout.TOP] = top

    def clear_dead(self) -> bool:
        """Remove the rows of processes that live no more, which is then news; whether there were any."""
        # Who lives their locks say: a pid may be somebody else's a moment later (decision 16).
        owners = {words[layout.OWNER] for words in self._known.values()}
        dead = [owner for owner in owners if not self._table.lives(owner)]
        for owner in dead:
            clear_rows(self._words, self._area, owner)
        return bool(dead)

    def news(self) -> dict[int, Row | None]:
        """What has changed since this was asked last, by place (None: gone).

        Raises:
            DiskError: The table is damaged.
        """
        changes = self._words[self._header + layout.CHANGES]
        if changes == self._seen:
            return {}
        found = self._read()
        news: dict[int, Row | None] = {place: None for place in self._known if place not in found}
        for place, words in found.items():
            if self._known.get(place) != words:
                news[place] = self._row(words)
        self._known, self._seen = found, changes
        return news

    # -- inside -------------------------------------------------------------------------------------

    def _read(self) -> dict[int, tuple[int, ...]]:
        top = self._words[self._header + layout.TOP]
        if not 0 <= top <= layout.ROWS:
            raise self._damaged()
        first = layout.row(self._area, 0)
        words = self._words[first : first + top * layout.ROW].tolist()
        rows = zip(*[iter(words)] * layout.ROW, strict=True)
        return {place: row[:-1] for place, row in enumerate(rows) if row[layout.STATE]}

    def _row(self, words: tuple[int, ...]) -> Row:
        state, owner, number, kind, project, avoided, turn = words
        if state < 0 or not 0 <= owner < layout.SLOTS:
            raise self._damaged()
        server = state - layout.HOLDING if state >= layout.HOLDING else None
        return Row(owner, server, number, kind, project, avoided, turn)

    @staticmethod
    def _state(row: Row) -> int:
        return layout.WAITING if row.server is None else layout.HOLDING + row.server

    def _write(self, place: int, offset: int, word: int) -> None:
        # Told before it is done: a process killed in between has told of a change too many, not too few.
        self._note_change()
        self._words[layout.row(self._area, place) + offset] = word
        known = list(self._known[place])
        known[offset] = word
        self._known[place] = tuple(known)

    def _note_turns(self, turn: int, passed_over: int) -> None:
        self._words[self._header + layout.TURN] = turn
        self._words[self._header + layout.PASSED_OVER] = passed_over

    def _note_change(self) -> None:
        self._seen = self._words[self._header + layout.CHANGES] + 1
        self._words[self._header + layout.CHANGES] = self._seen

    def _damaged(self) -> DiskError:
        return DiskError(
            "The shim cannot count its requests; its log says why.",
            for_operator=f"The table of leases is damaged. {RECOVERY}",
        )


class Step:
    """A block with the table's lock; a class: each request takes two, and generators cost as much again."""

    __slots__ = ("_news", "_table")

    def __init__(self, table: LeaseTable, news: Callable[[], dict[int, Row | None]]) -> None:
        self._table = table
        self._news = news

    def __enter__(self) -> dict[int, Row | None]:
        self._table.lock()
        try:
            return self._news()
        except BaseException:
            self._table.unlock()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.unlock()
