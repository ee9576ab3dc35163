"""Targets and what became of them: a metric of one participant, over another's or against a bound of its own.

Pure: an outcome in, rows out, for the terminal and for the document alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.engine.contest import Outcome
from shim.bench.statistics import Spread, paired


class Verdict(Enum):
    """How it stands with a target."""

    MET = "met"
    MISSED = "missed"
    INFORMATION = ""
    VOID = "void"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """What has to hold.

    Attributes:
        metric: As samples name it.
        of: The participant it holds for.
        against: The one that it is divided by; None: the value itself counts.
        at_most: The median may be so much; None: it is only told.
    """

    metric: str
    of: str
    against: str | None
    at_most: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A target with what was measured.

    Attributes:
        noise: Spread of the same metric between two entries of one program, in the same repetitions.
        reason: Why there is no figure.
    """

    target: Target
    verdict: Verdict
    spread: Spread | None = None
    noise: Spread | None = None
    reason: str = ""


def judge(
    targets: Sequence[Target], outcome: Outcome, twins: tuple[str, str] | None, absent: Mapping[str, str]
) -> list[Row]:
    """Each target's row.

    Args:
        targets: In the order in which they are told.
        outcome: Of the scenario.
        twins: The participants that are one program entered twice.
        absent: Participants that were not to be had, with the reason.
    """
    return [_judge(target, outcome, twins, absent) for target in targets]


def _judge(target: Target, outcome: Outcome, twins: tuple[str, str] | None, absent: Mapping[str, str]) -> Row:
    needed = [target.of] if target.against is None else [target.of, target.against]
    for name in needed:
        if name in absent:
            return Row(target, Verdict.NOT_MEASURED, reason=f"{name}: {absent[name]}")
        if name in outcome.void:
            return Row(target, Verdict.VOID, reason=f"{name}: {outcome.void[name]}")
    spread = Spread.of(compare(target.metric, target.of, target.against, outcome))
    if spread is None:
        return Row(target, Verdict.NOT_MEASURED, reason="no sample")
    noise = Spread.of(compare(target.metric, twins[1], twins[0], outcome)) if twins else None
    if target.at_most is None:
        return Row(target, Verdict.INFORMATION, spread, noise)
    return Row(target, Verdict.MET if spread.median <= target.at_most else Verdict.MISSED, spread, noise)


def compare(metric: str, of: str, against: str | None, outcome: Outcome) -> list[float]:
    """The paired ratios of a metric, or the values where there is nothing to divide by."""
    ours = outcome.values(of, metric)
    if against is None:
        return [value for value in ours if value is not None]
    return paired(ours, outcome.values(against, metric))
