"""The tables as text: in Markdown for docs/matrix.md, the short one for README.md, and where they are put.

Pure: cells in, text out.
"""

from collections.abc import Iterable, Sequence

from tests.matrix.verdict import OK

Row = tuple[str, ...]

ABSENT = "-"
"""A cell that makes no sense: nothing was tried."""


class Matrix:
    """Verdicts by way (directly, behind nginx …), hosting and client, in the order they came."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], dict[str, str]] = {}

    def put(self, way: str, hosting: str, client: str, verdict: str) -> None:
        """Fill a cell."""
        self._cells.setdefault((way, hosting), {})[client] = verdict

    @property
    def hostings(self) -> list[str]:
        """Those of which anything is known."""
        return list(dict.fromkeys(hosting for _, hosting in self._cells))

    def failures(self, ways: Iterable[str]) -> list[str]:
        """The cells of some ways that are not ok, in words."""
        wanted = set(ways)
        return [
            f"{client} on {hosting}, {way}: {verdict}"
            for (way, hosting), cells in self._cells.items()
            for client, verdict in cells.items()
            if way in wanted and verdict != OK
        ]

    def rows(self, ways: Sequence[str], clients: Sequence[str]) -> list[Row]:
        """A row for each hosting and way, the clients as columns; what is not ok stands out."""
        rows: list[Row] = [("hosting", *clients)]
        for way in ways:
            for hosting in self.hostings:
                if cells := self._cells.get((way, hosting)):
                    name = hosting if len(ways) == 1 else f"{hosting}, {way}"
                    rows.append((name, *(emphasize(cells.get(client, ABSENT)) for client in clients)))
        return rows

    def short_rows(self, ways: Sequence[str]) -> list[Row]:
        """A row for each hosting: by way, how many clients get what they want."""
        rows: list[Row] = [("hosting of Glance", *ways)]
        for hosting in self.hostings:
            counts = (count(self._cells.get((way, hosting), {}).values()) for way in ways)
            rows.append((hosting, *counts))
        return rows


def as_markdown(rows: Sequence[Row]) -> str:
    """A table whose first row is its head."""
    first, *others = rows
    lines = [first, tuple("---" for _ in first), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def emphasize(verdict: str) -> str:
    """What a person must not overlook in bold."""
    return verdict if verdict in (OK, ABSENT) else f"**{verdict}**"


def count(verdicts: Iterable[str]) -> str:
    """How many of them are ok."""
    found = list(verdicts)
    return f"{found.count(OK)} of {len(found)}" if found else ABSENT


def put_between(text: str, name: str, inside: str) -> str:
    """``text`` with what stands between the markers of that name replaced.

    Raises:
        ValueError: The markers are not there, once each and in order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no place between {begin!r} and {end!r}")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{inside.strip()}\n{end}{after}"
