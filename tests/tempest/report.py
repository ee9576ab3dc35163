"""The result as a page of Markdown: what was run with which versions, counts, differences, what was skipped.

A pure function of the outcomes, so that the page is the program's and nobody's memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from shim.timing import Seconds
from tests.tempest.cases import Case, Outcome
from tests.tempest.comparison import Difference, compare


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else the page tells: ``versions`` by the name of what has them, in order."""

    day: date
    versions: dict[str, str]
    seconds: Seconds


def find_differences(outcomes: Sequence[Outcome]) -> list[tuple[Case, Difference]]:
    """Every difference of a judged case from the first one."""
    measure, *others = outcomes
    return [
        (outcome.case, difference)
        for outcome in others
        if outcome.case.is_judged
        for difference in compare(measure.run, outcome.run)
    ]


def render(outcomes: Sequence[Outcome], circumstances: Circumstances) -> str:
    """The whole page."""
    parts = (
        _heading(circumstances),
        _counts(outcomes),
        _differences(outcomes),
        _faults(outcomes),
        _unjudged(outcomes),
        _skipped(outcomes[0]),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(circumstances: Circumstances) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in circumstances.versions.items())
    return (
        f"{circumstances.day.isoformat()}, {circumstances.seconds / 60:.1f} minutes. {versions}. Tokens are "
        f"keystone's, checked by keystonemiddleware; the database is sqlite; two Glance nodes, each "
        f"with a shim. tempest sends bodies of a few KiB: this is about the API, not about large bodies."
    )


def _counts(outcomes: Iterable[Outcome]) -> str:
    head = ("Glance on", "reached", "passed", "failed", "skipped", "seconds", "through the shim")
    return _table(head, [_count(outcome) for outcome in outcomes])


def _count(outcome: Outcome) -> tuple[str, ...]:
    run, case = outcome.run, outcome.case
    through = f"{outcome.requests} requests, {outcome.uploaded / 1024:.0f} KiB of bodies"
    return (
        case.kind,
        "through the shim" if case.behind_shim else "without the shim",
        *(str(run.count(status)) for status in ("success", "fail", "skip")),
        f"{run.seconds:.0f}",
        through if case.behind_shim else "-",
    )


def _differences(outcomes: Sequence[Outcome]) -> str:
    found = find_differences(outcomes)
    if not found:
        return "Differences through the shim: none. Every test ends with it as it does without it."
    rows = [
        (_short(difference.test), case.kind, difference.without, difference.behind)
        for case, difference in found
    ]
    return f"Differences through the shim: {len(found)}.\n\n" + _table(
        ("test", "Glance on", "without", "through the shim"), rows
    )


def _faults(outcomes: Iterable[Outcome]) -> str:
    faults = [f"- {outcome.case.name}: {fault}" for outcome in outcomes for fault in outcome.faults]
    return "\n".join(["Faults of the shim meanwhile:", "", *faults]) if faults else ""


def _unjudged(outcomes: Sequence[Outcome]) -> str:
    measure, *others = outcomes
    lines = []
    for outcome in others:
        if outcome.case.is_judged:
            continue
        lost = [_short(found.test) for found in compare(measure.run, outcome.run) if found.is_harm]
        told = (
            f"{len(lost)} tests that pass on {measure.case.kind} do not:" if lost else "the same tests pass."
        )
        lines += [f"For comparison, {outcome.case.kind} without the shim: {told}", ""]
        lines += [f"- {test}" for test in lost]
    return "\n".join(lines).rstrip()


def _skipped(measure: Outcome) -> str:
    rows = [
        (_short(test), verdict.reason)
        for test, verdict in sorted(measure.run.verdicts.items())
        if verdict.status == "skip"
    ]
    return "Skipped by tempest everywhere:\n\n" + _table(("test", "reason"), rows) if rows else ""


def _short(test: str) -> str:
    # All of them begin so; in the id of a class' preparation it stands in brackets.
    return f"`{test.replace('tempest.api.image.', '')}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
