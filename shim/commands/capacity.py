"""``glance-shim capacity``: workers, shims and spool for what clients do, with the shim and without it.

Has what ``capacity_options`` read computed (and simulated, where that is asked for), and leaves the printing
to ``figures``.
"""

import json
import sys
from collections.abc import Sequence

from shim.capacity.arithmetic import scale_load, upload_line
from shim.capacity.load import Load, Way
from shim.capacity.plan import Overloaded, Plan, Premises, make_plan
from shim.capacity.simulation import Outcome, Rules, draw_trace, simulate
from shim.commands import ENDED_AS_ASKED, FAILED, WRONG_USAGE
from shim.commands.capacity_options import Request, read_load
from shim.commands.figures import as_values, print_plans, print_simulation, print_table
from shim.commands.reading import Unusable

SIMULATED = 20_000
"""Uploads of a simulation: a second or two of computing."""
SAMPLES = 5_000
LADDER = (3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
"""Uploads at once, of the table."""


def run(request: Request, *, table: bool, simulated: bool, as_json: bool) -> int:
    """Print what the load needs; the exit status: 1 where the workers given are too few."""
    try:
        load, premises = read_load(request)
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
    scaled = scale_load(load, at_once)
    return scaled, [make_plan(scaled, way, premises) for way in Way]


def _simulate(load: Load, plan: Plan) -> Outcome:
    """A run under the plan, watched after its first tenth."""
    trace = draw_trace(load, SIMULATED, seed=1)
    begin, end = trace[SIMULATED // 10].time, trace[-1].time
    rules = Rules(plan.way, plan.slots, load.client_rate, load.drain_rate, load.answer)
    return simulate(trace, rules, begin=begin, end=end, step=(end - begin) / SAMPLES)


def _pairs(plans: Sequence[Plan], outcomes: Sequence[Outcome]) -> list[tuple[Plan, Outcome | None]]:
    missing: list[Outcome | None] = [None] * len(plans)
    return list(zip(plans, outcomes or missing, strict=True))
