"""``glance-shim capacity``: workers, shims and spool for what clients do, with the shim and without it.

Reads what the operator knows of the load, has it computed (and simulated, where that is asked for), and
leaves the printing to ``figures``.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from shim.capacity.arithmetic import holding_behind, upload_line
from shim.capacity.line import NO_LINE
from shim.capacity.load import Load, Way
from shim.capacity.plan import Overloaded, Plan, Premises, make_plan
from shim.capacity.simulation import Outcome, Rules, draw_trace, simulate
from shim.capacity.sizes import ListedSizes, LogNormalSizes, Sizes
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE
from shim.commands.figures import as_values, print_plans, print_simulation, print_table
from shim.config.units import parse_duration, parse_rate, parse_size

Value = TypeVar("Value")

HOUR = 3600.0
SIMULATED = 20_000
"""Uploads of a simulation: a second or two of computing."""
SAMPLES = 5_000
LADDER = (3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
"""Uploads at once, of the table."""


@dataclass(frozen=True, slots=True)
class Request:
    """The command line, as it was written; see ``cli.planning`` for what each of them is."""

    per_hour: float | None
    at_once: float | None
    size: Sequence[str]
    median: str
    upper: str
    largest: str
    client: str
    server: str
    answer: str
    known: float
    premises: Premises
    shim_rate: str


class Unusable(Exception):
    """An option whose value means nothing; the text is for the operator."""


def run(request: Request, *, table: bool, simulated: bool, as_json: bool) -> int:
    """Print what the load needs; the exit status: 1 where the workers given are too few."""
    try:
        load, premises = _read(request)
        if table:
            print_table([_row(load, premises, at_once) for at_once in LADDER])
            return ENDED_AS_ASKED
        plans = [make_plan(load, way, premises) for way in Way if not _is_hopeless(load, way, premises)]
    except Unusable as error:
        print(f"glance-shim capacity: {error}", file=sys.stderr)
        return WRONG_USAGE
    except Overloaded as error:
        print(f"glance-shim capacity: too few workers. {error}", file=sys.stderr)
        return FAILED
    outcomes = [_simulate(load, plan) for plan in plans] if simulated else []
    if as_json:
        print(json.dumps([as_values(plan, outcome) for plan, outcome in _pairs(plans, outcomes)], indent=2))
        return ENDED_AS_ASKED
    print_plans(load, plans, premises)
    if outcomes:
        print_simulation(plans, outcomes)
    return ENDED_AS_ASKED


def _is_hopeless(load: Load, way: Way, premises: Premises) -> bool:
    """Whether this is the way without the shim, and the workers given do not suffice for it.

    That is what the shim is for: it is no reason to tell nothing of the ways with it.
    """
    if way is not Way.STRAIGHT or premises.workers is None:
        return False
    return upload_line(load, way, premises.workers).busy >= premises.workers


def _row(load: Load, premises: Premises, at_once: float) -> tuple[Load, list[Plan]]:
    scaled = _scaled(load, at_once)
    return scaled, [make_plan(scaled, way, premises) for way in Way]


def _scaled(load: Load, at_once: float) -> Load:
    """The load of so many uploads under way at once, if none waits: Little's law, backwards."""
    alone = holding_behind(load, Way.CUT_THROUGH, NO_LINE)
    return replace(load, arrivals=load.arrivals * at_once / alone.uploads.mean)


def _simulate(load: Load, plan: Plan) -> Outcome:
    """A run under the plan, watched after its first tenth."""
    trace = draw_trace(load, SIMULATED, seed=1)
    begin, end = trace[SIMULATED // 10].time, trace[-1].time
    rules = Rules(plan.way, plan.slots, load.client_rate, load.drain_rate, load.answer)
    return simulate(trace, rules, begin=begin, end=end, step=(end - begin) / SAMPLES)


def _pairs(plans: Sequence[Plan], outcomes: Sequence[Outcome]) -> list[tuple[Plan, Outcome | None]]:
    missing: list[Outcome | None] = [None] * len(plans)
    return list(zip(plans, outcomes or missing, strict=True))


# -- what was written ---------------------------------------------------------------------------------


def _read(request: Request) -> tuple[Load, Premises]:
    if (request.per_hour is None) == (request.at_once is None):
        raise Unusable("give one of --per-hour and --at-once")
    load = Load(
        # Of --at-once it does not matter: the load is scaled.
        arrivals=_positive("--per-hour", 1.0 if request.per_hour is None else request.per_hour) / HOUR,
        sizes=_sizes(request),
        client_rate=_value("--client", parse_rate, request.client),
        drain_rate=_value("--server", parse_rate, request.server),
        answer=_value("--answer", parse_duration, request.answer, least=0),
        known=_part("--known", request.known),
    )
    if request.at_once is not None:
        load = _scaled(load, _positive("--at-once", request.at_once))
    for name, part in (("--waits", request.premises.waits), ("--confidence", request.premises.confidence)):
        _part(name, part)
    return load, replace(request.premises, rate=_value("--shim-rate", parse_rate, request.shim_rate))


def _sizes(request: Request) -> Sizes:
    if request.size:
        pairs = [_weighted(text) for text in request.size]
        return ListedSizes([size for size, _ in pairs], [weight for _, weight in pairs])
    middle, upper, largest = (
        _value(name, parse_size, text)
        for name, text in (
            ("--median", request.median),
            ("--upper", request.upper),
            ("--largest", request.largest),
        )
    )
    if not middle < upper <= largest:
        raise Unusable("--median, --upper and --largest have to rise in this order")
    return LogNormalSizes.between(middle, upper, largest)


def _weighted(text: str) -> tuple[float, float]:
    """``2GiB``, or ``2GiB*3``: three times as often as those without a weight."""
    size, star, weight = text.partition("*")
    try:
        times = float(weight) if star else 1.0
    except ValueError:
        raise Unusable(f"--size {text}: {weight!r} is no weight; write it as in 2GiB*3") from None
    return _value("--size", parse_size, size), _positive(f"--size {text}", times)


def _value(name: str, parse: Callable[[object], float], text: str, *, least: float = 1) -> float:
    try:
        value = parse(text)
    except ValueError as error:
        raise Unusable(f"{name} {error}") from None
    if value < least:
        raise Unusable(f"{name} {text}: must be more than 0")
    return value


def _part(name: str, part: float) -> float:
    # Typer has looked at the bounds, which "nan" is on neither side of.
    if not 0 <= part <= 1:
        raise Unusable(f"{name}: must be from 0 to 1")
    return part


def _positive(name: str, number: float) -> float:
    # Infinite and no-number compare as they like: only what is properly between counts.
    if not 0 < number < float("inf"):
        raise Unusable(f"{name}: must be more than 0")
    return number
