"""How ``bench`` talks to a person at a terminal: a progress bar while it runs, tables when it has ended."""

import sys
from types import TracebackType
from typing import Self

import rich.progress as bars
from rich.console import Console
from rich.text import Text

from shim.bench.plan import WARMING_UP, Case, Round
from shim.bench.results import METRICS, Results, download_seconds, upload_seconds
from shim.bench.statistics import Latency, Spread
from shim.commands.figures import seconds, size

_NOTHING = "-"
_LABEL = 20

METRIC_WORDS = {
    "upload": "uploads",
    "after_last_byte": "after the last byte",
    "download": "downloads",
    "small_request": "small request",
}
"""What ``METRICS`` are called where people read."""


class Progress:
    """A bar over all bytes of the run, on standard error; nothing where that is no terminal.

    Args:
        names: Of the targets.
        volume: Bytes that will pass.
    """

    def __init__(self, names: list[str], volume: int) -> None:
        self._names = names
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=24),
            bars.DownloadColumn(binary_units=True),
            bars.TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("warming up", total=volume)

    def begin(self, turn: Round) -> None:
        """Say what is being measured."""
        told = f"{case_words(turn.case)}, {turn.repetition + 1}: {self._names[turn.target]}"
        self._bar.update(self._task, description=told)

    def advance(self, count: int) -> None:
        """Move on by so many bytes."""
        self._bar.advance(self._task, count)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def case_words(case: Case) -> str:
    """A case in a few words."""
    framing = "length declared" if case.chunk is None else f"chunks of {size(case.chunk)}"
    return f"{size(case.size)}, {framing}"


def print_results(results: Results, console: Console | None = None) -> None:
    """All that was measured, and what failed."""
    out = console or Console()
    if results.samples:
        out.print(Text("median (smallest to largest) of the rounds", style="italic"))
        for case in results.plan.cases():
            _print_case(out, results, case)
    for line in failure_lines(results):
        # As text: what a server says is not to be read as markup.
        out.print(Text(f"failed: {line}"))
    if results.broken_off:
        out.print("Ended at the first failure; --keep-going does the other rounds.")
    if results.interrupted:
        out.print("Ended early: these are the rounds that were done.")


def failure_lines(results: Results) -> list[str]:
    """What failed, alike things together: a server that cannot do a thing fails at it in every round."""
    rounds: dict[tuple[int, Case, str], list[str]] = {}
    for failure in results.failures:
        turn = failure.round
        alike = rounds.setdefault((turn.target, turn.case, failure.text), [])
        alike.append("warm-up" if turn.repetition == WARMING_UP else str(turn.repetition + 1))
    return [
        f"{results.targets[target]}, {case_words(case)} ({', '.join(numbers)}): {text}"
        for (target, case, text), numbers in rounds.items()
    ]


def rate_words(values: list[float]) -> str:
    """Bytes a second: the median, and from where to where they go."""
    known = Spread.of(values)
    if known is None:
        return _NOTHING
    if known.count == 1:
        return f"{size(known.median)}/s"
    return f"{size(known.median)}/s ({size(known.low)} to {size(known.high)})"


def spread_words(known: Spread | None) -> str:
    """Seconds, in the same way."""
    if known is None:
        return _NOTHING
    if known.count == 1:
        return seconds(known.median)
    return f"{seconds(known.median)} ({seconds(known.low)} to {seconds(known.high)})"


def latency_words(known: Latency | None) -> str:
    """Percentiles of small requests."""
    if known is None:
        return _NOTHING
    told = [f"p50 {seconds(known.p50)}", f"p90 {seconds(known.p90)}"]
    told += [] if known.p99 is None else [f"p99 {seconds(known.p99)}"]
    return ", ".join([*told, f"worst {seconds(known.worst)} of {known.count}"])


def ratio_words(values: list[float]) -> str:
    """The median ratio with its spread, and of how many pairs."""
    known = Spread.of(values)
    if known is None:
        return _NOTHING
    return f"{known.median:.2f} ({known.low:.2f} to {known.high:.2f}, {known.count})"


def figures_of(results: Results, case: Case, target: int) -> list[tuple[str, str]]:
    """What there is to say of a case at a target: name and figure."""
    told = [
        ("uploads", rate_words(results.rates(case, target, upload_seconds))),
        ("after the last byte", spread_words(results.spread(case, target, METRICS["after_last_byte"]))),
        ("downloads", rate_words(results.rates(case, target, download_seconds))),
        ("small requests", latency_words(Latency.of(results.asked(case, target)))),
    ]
    return [(name, figure) for name, figure in told if figure != _NOTHING] or [("no round", _NOTHING)]


def _print_case(out: Console, results: Results, case: Case) -> None:
    """Under each other, not side by side: 80 columns hold a URL or a figure with its spread, not both."""
    out.print(Text(case_words(case), style="bold"))
    for target, name in enumerate(results.targets):
        out.print(Text(f"  {name}"))
        for label, figure in figures_of(results, case, target):
            out.print(Text(f"    {label:<{_LABEL}} {figure}"))
    compared = [
        (METRIC_WORDS[name], ratio_words(pairs))
        for name, metric in METRICS.items()
        if len(results.targets) > 1 and (pairs := results.ratios(case, metric))
    ]
    if compared:
        out.print(Text("  seconds of the first / of the second: under 1 the first is faster"))
    for label, figure in compared:
        out.print(Text(f"    {label:<{_LABEL}} {figure} pairs"))
