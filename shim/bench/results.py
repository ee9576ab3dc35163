"""What a run came to: samples of rounds, and what they say together, as values for people and programs.

Nothing is told of a round that failed but the reason: half a round's seconds are of other work.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

import shim
from shim.bench.plan import Case, Plan, Round
from shim.bench.statistics import Latency, Spread, paired
from shim.timing import Seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """One round.

    Attributes:
        upload: Seconds from the first upload's begin to the last one's answer.
        uploads: Seconds of each.
        after: Of each, from its last byte to the answer.
        download: As ``upload``; None where nothing can be got back.
        asked: Seconds of each small request meanwhile.
    """

    upload: Seconds
    uploads: tuple[Seconds, ...]
    after: tuple[Seconds, ...]
    download: Seconds | None
    asked: tuple[Seconds, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A round that did not do its work, and why."""

    round: Round
    kind: str
    text: str


@dataclass
class Results:
    """Everything there is to say of a run, finished or not.

    Attributes:
        targets: Their URLs.
        samples: In the order of the rounds, which is that of time.
        interrupted: Whether somebody ended it.
        broken_off: Whether a failure did.
        left: What could not be taken away, each with the reason.
    """

    plan: Plan
    targets: Sequence[str]
    began: dt.datetime
    samples: dict[Round, Sample] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False
    broken_off: bool = False
    left: dict[str, str] = field(default_factory=dict)

    def of(self, case: Case, target: int) -> list[Sample]:
        """Those of one case at one target."""
        return [sample for turn, sample in self.samples.items() if (turn.case, turn.target) == (case, target)]

    def spread(self, case: Case, target: int, metric: "Metric") -> Spread | None:
        """Of a metric over the rounds; None where no round has it."""
        return Spread.of(self._known(metric(self, case, sample) for sample in self.of(case, target)))

    def rates(self, case: Case, target: int, metric: "Metric") -> list[float]:
        """Bytes a second in each round, of a metric that is seconds."""
        moved = case.size * self.plan.concurrency
        values = self._known(metric(self, case, sample) for sample in self.of(case, target))
        return [moved / seconds for seconds in values if seconds]

    def ratios(self, case: Case, metric: "Metric") -> list[float]:
        """The first target's value over the second's, in each repetition that both have done."""
        sides: list[list[float | None]] = []
        for target in (0, 1):
            turns = [Round(case, repetition, target) for repetition in range(self.plan.count)]
            samples = [self.samples.get(turn) for turn in turns]
            sides.append([None if sample is None else metric(self, case, sample) for sample in samples])
        return paired(*sides)

    def asked(self, case: Case, target: int) -> list[Seconds]:
        """Seconds of all small requests."""
        return [seconds for sample in self.of(case, target) for seconds in sample.asked]

    @staticmethod
    def _known(values: Iterable[float | None]) -> list[float]:
        return [value for value in values if value is not None]


Metric = Callable[[Results, Case, Sample], float | None]


def upload_seconds(_results: Results, _case: Case, sample: Sample) -> float:
    """Of the round's uploads together."""
    return sample.upload


def download_seconds(_results: Results, _case: Case, sample: Sample) -> float | None:
    """Of the round's downloads together."""
    return sample.download


def after_seconds(_results: Results, _case: Case, sample: Sample) -> float | None:
    """From a body's end to its answer, in the middle of the round's uploads."""
    known = Spread.of(sample.after)
    return None if known is None else known.median


def asked_seconds(_results: Results, _case: Case, sample: Sample) -> float | None:
    """Of a small request meanwhile, in the middle of the round's."""
    known = Spread.of(sample.asked)
    return None if known is None else known.median


METRICS: dict[str, Metric] = {
    "upload": upload_seconds,
    "after_last_byte": after_seconds,
    "download": download_seconds,
    "small_request": asked_seconds,
}
"""What is told of each case, and divided where there are two targets."""


# -- for programs ------------------------------------------------------------------------------------------


def as_values(results: Results) -> dict[str, object]:
    """The run as JSON takes it: seconds, bytes, bytes a second."""
    plan = results.plan
    return {
        "version": shim.__version__,
        "run": plan.run,
        "began": results.began.isoformat(),
        "interrupted": results.interrupted,
        "broken_off": results.broken_off,
        "left": results.left,
        "targets": list(results.targets),
        "plan": {name: value for name, value in asdict(plan).items() if name != "run"},
        "cases": [_case_values(results, case) for case in plan.cases()],
        "failures": [
            {
                "target": results.targets[failure.round.target],
                "case": asdict(failure.round.case),
                "repetition": failure.round.repetition,
                "kind": failure.kind,
                "reason": failure.text,
            }
            for failure in results.failures
        ],
    }


def _case_values(results: Results, case: Case) -> dict[str, object]:
    values: dict[str, object] = asdict(case)
    values["targets"] = [_target_values(results, case, target) for target in range(len(results.targets))]
    if len(results.targets) > 1:
        values["ratios"] = {
            name: {"pairs": pairs, "spread": _values(Spread.of(pairs))}
            for name, metric in METRICS.items()
            for pairs in [results.ratios(case, metric)]
        }
    return values


def _target_values(results: Results, case: Case, target: int) -> dict[str, object]:
    return {
        "target": results.targets[target],
        "rounds": [asdict(sample) for sample in results.of(case, target)],
        "seconds": {name: _values(results.spread(case, target, metric)) for name, metric in METRICS.items()},
        "upload_rate": _values(Spread.of(results.rates(case, target, upload_seconds))),
        "download_rate": _values(Spread.of(results.rates(case, target, download_seconds))),
        "small_requests": _values(Latency.of(results.asked(case, target))),
    }


def _values(known: Spread | Latency | None) -> dict[str, object] | None:
    return None if known is None else asdict(known)
