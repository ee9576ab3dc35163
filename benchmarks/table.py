"""The table that a person reads at once: scenario, metric, ratio, spread, target, met or not.

Pure: results as ``results.py`` has them in, text out, for the terminal and in Markdown.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.engine.verdict import Verdict

Line = tuple[str, ...]
Cells = tuple[str, str, str, str, str, str]
HEAD: Line = ("scenario", "what", "measured", "spread", "noise", "target", "")

_WORDS = {
    "cpu": "CPU",
    "time": "time",
    "hold": "server held",
    "memory": "memory, peak",
    "idle": "memory, idle",
    "growth": "memory, growth",
    "p99": "p99",
    "p50": "median latency",
}
_BYTES = frozenset({"memory", "idle", "growth", "small", "high_water"})
_MIB = 1024**2
_MARKS = {"met": "met", "missed": "MISSED", "void": "VOID", "not measured": "not measured", "": "-"}


def lines(scenarios: Mapping[str, Mapping[str, Any]], *, titles: bool) -> list[Line]:
    """The table without its head, a line for each target; what a scenario is called stands once."""
    made: list[Line] = []
    for name, result in scenarios.items():
        called = result["title"] if titles else name
        for row in result["rows"]:
            made.append((called, *_cells(row)))
            called = ""
    return made


def _cells(row: Mapping[str, Any]) -> Cells:
    over = f"{row['of']} / {row['against']}" if row["against"] else row["of"]
    what = f"{_WORDS.get(row['metric'], row['metric'])}, {over}"
    form = _form(row)
    bound = "-" if row["at_most"] is None else f"≤ {form(row['at_most'])}"
    mark = _MARKS[row["verdict"]]
    if row["spread"] is None:
        # Why stands below the table, once for each participant.
        return (what, "-", "-", "-", bound, mark)
    median, low, high, _ = row["spread"]
    noise = f"{row['noise'][1]:.2f}..{row['noise'][2]:.2f}" if row["noise"] and row["against"] else "-"
    return (what, form(median), f"{form(low)}..{form(high)}", noise, bound, mark)


def _form(row: Mapping[str, Any]) -> Callable[[float], str]:
    if row["against"]:
        return lambda ratio: f"{ratio:.2f}"
    if row["metric"] in _BYTES:
        return lambda amount: f"{amount / _MIB:.1f} MiB"
    return lambda seconds: f"{seconds:.3f} s"


def as_text(table: Sequence[Line]) -> str:
    """In columns, for a terminal."""
    everything = [HEAD, *table]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in everything
    )


def as_markdown(table: Iterable[Line]) -> str:
    """For the document; what is not met stands out."""
    rows = [HEAD, tuple("---" for _ in HEAD)]
    rows += [(*line[:-1], line[-1] if line[-1] in ("met", "-") else f"**{line[-1]}**") for line in table]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def summary(scenarios: Mapping[str, Mapping[str, Any]]) -> str:
    """How many targets are met, in a line."""
    verdicts = [row["verdict"] for result in scenarios.values() for row in result["rows"] if row["at_most"]]
    counts = {verdict: verdicts.count(verdict) for verdict in ("met", "missed", "void", "not measured")}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{len(verdicts)} target{'' if len(verdicts) == 1 else 's'}: {told or 'none'}"


def missed(scenarios: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each target that is missed, in words."""
    return [
        f"{result['title']}: {what} is {measured}, to be {bound}"
        for result in scenarios.values()
        for row in result["rows"]
        if row["verdict"] == Verdict.MISSED.value
        for what, measured, _, _, bound, _ in [_cells(row)]
    ]
