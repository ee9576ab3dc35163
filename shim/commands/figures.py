"""How ``capacity`` shows its figures: a table on the terminal, one for the documentation, or plain values."""

import math
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from shim.capacity.load import Load, Way
from shim.capacity.plan import Plan, Premises
from shim.capacity.simulation import Outcome

_KIB = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NOTHING = "-"


def size(amount: float) -> str:
    """Bytes with three digits, for the eye."""
    power = 0
    # From 999.5 on three digits would be four.
    while amount >= 999.5 and power < len(_UNITS) - 1:  # noqa: PLR2004
        amount, power = amount / _KIB, power + 1
    return f"{amount:.3g} {_UNITS[power]}"


def seconds(amount: float) -> str:
    """A duration for the eye."""
    for length, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if amount >= length:
            return f"{amount / length:.3g} {unit}"
    return f"{amount * 1000:.3g} ms"


def share(part: float) -> str:
    """A part of one, in percent."""
    return f"{part * 100:.2g} %"


def _wait_of(plan: Plan) -> str:
    line = plan.holding.line
    return seconds(line.wait / line.waits) if line.waits else _NOTHING


_ROWS: tuple[tuple[str, Callable[[Plan], str]], ...] = (
    ("uploads under way, mean", lambda plan: f"{plan.holding.uploads.mean:.3g}"),
    ("uploads under way, peak", lambda plan: f"{math.ceil(plan.uploads)}"),
    ("workers busy with uploads", lambda plan: f"{plan.holding.line.busy:.3g}"),
    ("workers for uploads", lambda plan: f"{plan.slots}"),
    ("workers in all", lambda plan: f"{plan.workers}"),
    ("uploads that wait for one", lambda plan: share(plan.holding.line.waits)),
    ("their wait, mean", _wait_of),
    ("bytes held, mean", lambda plan: _spooled(plan, plan.holding.held.mean)),
    ("bytes held, peak", lambda plan: _spooled(plan, plan.held)),
    ("spool to provide", lambda plan: _spooled(plan, plan.leased)),
    ("shims, spares included", lambda plan: str(plan.shims or _NOTHING)),
    ("each: spool.max_total", lambda plan: size(plan.each.spool) if plan.each else _NOTHING),
    ("each: limits.max_uploads", lambda plan: str(plan.each.uploads) if plan.each else _NOTHING),
    ("each: slots of its servers", lambda plan: str(plan.each.slots) if plan.each else _NOTHING),
)


def print_plans(load: Load, plans: Sequence[Plan], premises: Premises) -> None:
    """All figures, a column for each way that uploads can take."""
    mean = load.sizes.moment(1)
    print(
        f"{load.arrivals * 3600:.4g} uploads an hour of {size(mean)} on average "
        f"make {size(load.arrivals * mean)}/s; "
        f"peaks are not exceeded in {premises.confidence * 100:g} % of the time."
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for plan in plans:
        table.add_column(plan.way.value, justify="right", no_wrap=True)
    for name, tell in _ROWS:
        table.add_row(name, *map(tell, plans))
    Console().print(table)
    if len(plans) < len(Way):
        print(f"Without the shim {premises.workers} workers do not suffice: they wait for their clients.")


def print_simulation(plans: Sequence[Plan], outcomes: Sequence[Outcome]) -> None:
    """What a simulation came to, beside what was computed."""
    table = Table(title="computed / simulated", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for plan in plans:
        table.add_column(plan.way.value, justify="right", no_wrap=True)
    pairs = list(zip(plans, outcomes, strict=True))
    for name, tell in _COMPARED:
        table.add_row(name, *(tell(plan, outcome) for plan, outcome in pairs))
    Console().print(table)


_COMPARED: tuple[tuple[str, Callable[[Plan, Outcome], str]], ...] = (
    (
        "uploads under way, mean",
        lambda plan, run: _both(plan.holding.uploads.mean, run.watch.mean("uploads")),
    ),
    ("workers busy, mean", lambda plan, run: _both(plan.holding.line.busy, run.watch.mean("slots"))),
    ("uploads that wait", lambda plan, run: f"{share(plan.holding.line.waits)} / {share(run.waiting_share)}"),
    ("bytes held, mean", lambda plan, run: _sizes(plan.holding.held.mean, run.watch.mean("held"))),
    ("bytes leased, mean", lambda plan, run: _sizes(plan.holding.leased.mean, run.watch.mean("leased"))),
    ("time above that spool", lambda plan, run: share(run.watch.share_above("leased", plan.leased))),
)


def print_table(rows: Sequence[tuple[Load, list[Plan]]]) -> None:
    """The same load at growing numbers, in Markdown."""
    print(
        "| uploads at once | an hour | bytes | workers without the shim | workers | busy with uploads "
        "| held, mean | held, spooled whole | spool, all | shims | spool, each |"
    )
    print("| --: " * 11 + "|")
    for load, (straight, whole, cut) in rows:
        assert cut.each is not None
        cells = (
            f"{cut.holding.uploads.mean - cut.holding.line.wait * load.arrivals:,.0f}",
            f"{load.arrivals * 3600:,.0f}",
            f"{size(cut.holding.forwarding)}/s",
            f"{straight.workers:,}",
            f"{cut.workers:,}",
            f"{cut.holding.line.busy:,.1f}",
            size(cut.holding.held.mean),
            size(whole.holding.held.mean),
            size(cut.leased),
            f"{cut.shims:,}",
            size(cut.each.spool),
        )
        print(f"| {' | '.join(cells)} |")


def as_values(plan: Plan, outcome: Outcome | None) -> dict[str, object]:
    """A plan for programs: bytes, seconds, counts, parts of one."""
    line = plan.holding.line
    values: dict[str, object] = {
        "way": plan.way.name.lower(),
        "uploads": {"mean": plan.holding.uploads.mean, "peak": plan.uploads},
        "workers": {"busy": line.busy, "uploads": plan.slots, "all": plan.workers},
        "waiting": {"share": line.waits, "seconds": line.wait},
        "held_bytes": {"mean": plan.holding.held.mean, "peak": plan.held},
        "leased_bytes": {"mean": plan.holding.leased.mean, "peak": plan.leased},
        "bytes_per_second": plan.holding.forwarding,
        "shims": plan.shims,
    }
    if plan.each is not None:
        values["each"] = {
            "max_uploads": plan.each.uploads,
            "max_total": math.ceil(plan.each.spool),
            "slots": plan.each.slots,
        }
    if outcome is not None:
        watch = outcome.watch
        values["simulated"] = {name: watch.mean(name) for name in watch.samples} | {
            "waiting_share": outcome.waiting_share,
            "above_spool": watch.share_above("leased", plan.leased),
        }
    return values


def _spooled(plan: Plan, amount: float) -> str:
    return size(amount) if plan.each else _NOTHING


def _both(computed: float, simulated: float) -> str:
    return f"{computed:.3g} / {simulated:.3g}"


def _sizes(computed: float, simulated: float) -> str:
    if not computed:
        return _NOTHING
    # In one unit: two would not fit a terminal's line, nor be compared at a glance.
    number, unit = size(computed).split()
    return f"{number} / {simulated * float(number) / computed:.3g} {unit}"
