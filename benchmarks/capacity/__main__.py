"""``python -m benchmarks.capacity [--write]``: small runs, measured and simulated, as a table (some minutes).

With ``--write`` it goes into docs/capacity.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.capacity.measure import Measured, measure
from benchmarks.report import put_between
from shim.capacity.load import Load, Way
from shim.capacity.simulation import Arrival, Rules, draw_trace, simulate
from shim.capacity.sizes import ListedSizes

DOCUMENT = Path(__file__).parents[2] / "docs" / "capacity.md"
MARKER = "python -m benchmarks.capacity"
UPLOADS = 60
SEED = 7

_MIB = 1024**2
# Some of everything: sizes that differ, clients slower than the server, workers that are short at times.
_SIZES = ListedSizes((16 * _MIB, 32 * _MIB, 64 * _MIB), (2, 2, 1))
RUNS = {
    "cut through, 2 workers": (Way.CUT_THROUGH, 2, Load(0.7, _SIZES, 4 * _MIB, 16 * _MIB)),
    "cut through, 1 worker short": (Way.CUT_THROUGH, 1, Load(0.6, _SIZES, 4 * _MIB, 24 * _MIB)),
    "spooled whole, 2 workers": (Way.WHOLE, 2, Load(0.7, _SIZES, 4 * _MIB, 16 * _MIB, known=0.0)),
    "fast clients, 2 workers": (Way.CUT_THROUGH, 2, Load(0.7, _SIZES, 32 * _MIB, 16 * _MIB)),
}
_NAMES = {"uploads": "uploads under way", "slots": "workers busy", "held": "MiB held"}


def main() -> None:
    """Measure all runs and print, or publish, the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/capacity.md")
    write = parser.parse_args().write
    lines = ["| run | mean of | simulated | measured | apart |", "| --- | --- | --: | --: | --: |"]
    for name, (way, slots, load) in RUNS.items():
        lines += rows(name, load, Rules(way, slots, load.client_rate, load.drain_rate))
    table = "\n".join(lines)
    sys.stdout.write(f"{table}\n")
    if write:
        DOCUMENT.write_text(put_between(DOCUMENT.read_text(), table, MARKER))


def rows(name: str, load: Load, rules: Rules) -> Iterator[str]:
    """The lines of one run: the same uploads, at the same times, through a shim and through a simulation."""
    trace = draw_trace(load, UPLOADS, SEED)
    measured = measure(trace, rules)
    for key, simulated in simulated_means(trace, rules, measured).items():
        found = measured.means[key]
        unit = _MIB if key == "held" else 1
        yield (
            f"| {name} | {_NAMES[key]} | {simulated / unit:.2f} | {found / unit:.2f} "
            f"| {(found / simulated - 1) * 100:+.1f} % |"
        )


def simulated_means(trace: Sequence[Arrival], rules: Rules, measured: Measured) -> dict[str, float]:
    """The same means of a simulation of the same length."""
    outcome = simulate(trace, rules, end=measured.seconds, step=measured.seconds)
    # Where the run took longer than its simulation nothing was held at the end.
    outcome.watch.advance(max(outcome.ended, measured.seconds))
    return {key: outcome.watch.mean(key) for key in _NAMES}


if __name__ == "__main__":
    main()
