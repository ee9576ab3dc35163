"""``python -m benchmarks``: measure, print the table, and write the document if the run was a whole one.

``make bench`` runs it whole, ``make bench-quick`` some of it at small sizes; ``--list`` names what there is.
"""

import argparse
import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import profile, report, results, table
from benchmarks.arena import allow_many_files
from benchmarks.engine import NotMeasured
from benchmarks.load.building import BUILT, Programs, build
from benchmarks.peers.kinds import KINDS
from benchmarks.progress import Progress
from benchmarks.running import Bench
from benchmarks.scenario import Scenario, ScenarioFault, load_all
from shim.config.units import parse_size

REPETITIONS = 7
QUICK_REPETITIONS = 3
DIRECTORY = Path("/var/tmp")  # noqa: S108 - on disk by the file system hierarchy, where /tmp may be memory
LATEST = BUILT / "latest.json"


def main() -> int:
    """Read the arguments and run; exit status 1 where nothing could be measured, 2 for wrong usage."""
    options = read_options(sys.argv[1:])
    try:
        scenarios = choose(load_all(quick=options.quick), options)
    except (ScenarioFault, ValueError) as fault:
        sys.stderr.write(f"bench: {fault}\n")
        return 2
    if options.list:
        return tell_scenarios(scenarios)
    allow_many_files()
    try:
        programs = build()
    except NotMeasured as reason:
        sys.stderr.write(f"== SKIPPED: benchmarks: {reason}\n")
        return 1
    if options.profile:
        return run_profile(programs, options)
    return run(scenarios, programs, options)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="The shim against the proxies in its place."
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a few scenarios, small sizes, 3 repetitions")
    add("--list", action="store_true", help="name the scenarios and their participants, and end")
    add("--scenarios", type=_words, metavar="NAME,...", help="only these (a part of a name is enough)")
    add("--peers", type=_words, metavar="NAME,...", help="only these participants; nothing is written")
    add("--repetitions", type=int, metavar="N", help=f"default: {REPETITIONS}; fewer: nothing is written")
    add("--size", type=parse_size, metavar="SIZE", help="bodies of at most this; nothing is written")
    add("--directory", type=Path, default=DIRECTORY, metavar="DIR", help=f"for spools (default: {DIRECTORY})")
    add("--profile", action="store_true", help="where the shim's time goes, beside the C program")
    add("--no-write", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    options.is_whole = not (options.quick or options.peers or options.size or options.no_write)
    options.is_whole &= options.repetitions is None or options.repetitions >= REPETITIONS
    options.repetitions = options.repetitions or (QUICK_REPETITIONS if options.quick else REPETITIONS)
    return options


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def choose(scenarios: Sequence[Scenario], options: argparse.Namespace) -> list[Scenario]:
    """The scenarios that were asked for, as they were asked for.

    Raises:
        ValueError: A name fits nothing.
    """
    chosen = list(scenarios)
    if options.scenarios:
        for word in options.scenarios:
            if not any(word in scenario.name for scenario in scenarios):
                raise ValueError(f"no scenario has {word!r} in its name; --list names them")
        chosen = [s for s in chosen if any(word in s.name for word in options.scenarios)]
    if options.peers:
        if unknown := [name for name in options.peers if name.removesuffix("-again") not in KINDS]:
            raise ValueError(f"no participant is called {unknown[0]!r}; --list names them")
        chosen = [s for s in (s.among(options.peers) for s in chosen) if s.participants]
    return [with_size(scenario, options.size) for scenario in chosen] if options.size else chosen


def with_size(scenario: Scenario, size: int) -> Scenario:
    """The same with bodies no larger than this; slow uploads stay as they are: their size is their time."""
    load, beside = scenario.load, scenario.beside
    if size < load.size:
        load = dataclasses.replace(load, size=size)
    if beside is not None and beside.mode == "up" and size < beside.size:
        beside = dataclasses.replace(beside, size=size)
    is_changed = (load, beside) != (scenario.load, scenario.beside)
    title = f"{scenario.title} (made smaller)" if is_changed else scenario.title
    return dataclasses.replace(scenario, load=load, beside=beside, title=title)


def tell_scenarios(scenarios: Sequence[Scenario]) -> int:
    """What there is, a line each."""
    for scenario in scenarios:
        sys.stdout.write(f"{scenario.name:<22}{scenario.title}\n{'':<22}{', '.join(scenario.participants)}\n")
    return 0


# -- running ----------------------------------------------------------------------------------------------


def run(scenarios: Sequence[Scenario], programs: Programs, options: argparse.Namespace) -> int:
    """Measure, print, write; the exit status."""
    bench = Bench(programs, options.directory, options.repetitions)
    progress = Progress(len(scenarios))
    measured: results.Results = {"scenarios": {}}
    began = time.monotonic()
    # Ctrl-C ends the run; what was measured until then is told, and nothing published.
    is_interrupted = True
    with contextlib.suppress(KeyboardInterrupt):
        for scenario in scenarios:
            progress.begin(scenario.title)
            measured["scenarios"][scenario.name] = bench.run(scenario, progress.tell)
            results.write(LATEST, measured)
        is_interrupted = False
    progress.clear()
    tell(measured, time.monotonic() - began)
    if options.is_whole and not is_interrupted:
        write(measured)
    return 0 if any(result["samples"] for result in measured["scenarios"].values()) else 1


def tell(measured: results.Results, seconds: float) -> None:
    """The table, and what a person has to know beside it."""
    scenarios = measured["scenarios"]
    sys.stdout.write(f"{table.as_text(table.lines(scenarios, titles=False))}\n\n")
    sys.stdout.write(f"{table.summary(scenarios)}; {seconds / 60:.1f} min\n")
    for scenario, result in scenarios.items():
        for name, reason in (*result["void"].items(), *result["absent"].items()):
            sys.stdout.write(f"not compared: {scenario}: {name}: {reason}\n")
        for note in result["notes"]:
            sys.stdout.write(f"note: {scenario}: {note}\n")


def write(measured: results.Results) -> None:
    """Put what was measured among what is published, and make the document anew."""
    known = results.read(results.PUBLISHED)
    merged = known["scenarios"] | measured["scenarios"]
    # In the order of the files, whatever was measured when; what has no file any more goes.
    known["scenarios"] = {s.name: merged[s.name] for s in load_all() if s.name in merged}
    known |= {key: value for key, value in measured.items() if key != "scenarios"}
    results.write(results.PUBLISHED, known)
    if not report.publish(known, results.PUBLISHED):
        sys.stdout.write("== SKIPPED: plots: matplotlib is not there (tools/bench.sh installs it)\n")
    sys.stdout.write(f"written: {report.DOCUMENT.name}, {results.PUBLISHED.name}\n")


def run_profile(programs: Programs, options: argparse.Namespace) -> int:
    """Where the shim's time goes; the exit status."""
    found = profile.measure(programs, options.directory, options.size or profile.SIZE)
    for title, parts in found["scenarios"].items():
        for heading, rows in parts.items():
            sys.stdout.write(f"{title}: {heading}\n")
            sys.stdout.writelines(f"  {'  '.join(cell.ljust(24) for cell in row).rstrip()}\n" for row in rows)
    sys.stdout.write(f"{found['how']}\n")
    if options.is_whole:
        write({"scenarios": {}, "profile": found})
    return 0


if __name__ == "__main__":
    # SIGTERM, as Ctrl-C, ends what was started and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
