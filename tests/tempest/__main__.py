"""``python -m tests.tempest``: run tempest's image tests with the shim and without it, and compare.

Exit status 0 when both end alike, 1 when they differ or the shim showed a fault, 2 when something could not
be run; where it is not 0, all logs are kept.
"""

import argparse
import importlib.metadata
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from shim.demo import DemoError
from shim.demo.environment import demo_home, ensure_environment, pinned_version
from tests.identity.installations import KEYSTONE
from tests.identity.keystone import Keystone
from tests.matrix.tables import put_between
from tests.tempest.cases import CASES, Bench, Outcome
from tests.tempest.downloads import serve_downloads
from tests.tempest.installation import TEMPEST
from tests.tempest.report import Circumstances, find_differences, render
from tests.tempest.runner import Tempest

ALL = r"^tempest\.api\.image"
PAGE = Path(__file__).parents[2] / "docs/matrix.md"
NAME = "make conformance"
"""Of the markers in it."""


def main() -> int:
    """Run; the exit status."""
    options = _read_options()
    home = demo_home()
    home.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="conformance-", dir=home))
    began = time.monotonic()
    try:
        outcomes = run_all(directory, options.regex)
    except DemoError as error:
        _say(f"conformance: {error}\nlogs: {directory}")
        return 2
    day = datetime.now(UTC).date()
    page = render(outcomes, Circumstances(day, _versions(), time.monotonic() - began))
    sys.stdout.write(page)
    if options.regex == ALL:
        options.output.write_text(put_between(options.output.read_text(), NAME, page.strip()))
    return _judge(outcomes, directory, keep=options.keep)


def run_all(directory: Path, pattern: str) -> list[Outcome]:
    """Every case in turn, on one keystone."""
    environment, tempest_environment = ensure_environment(), TEMPEST.ensure()
    with (
        Keystone.make(directory / "keystone") as keystone,
        serve_downloads(directory / "downloads") as downloads,
    ):
        identity = keystone.serve()
        tempest = Tempest(directory / "tempest", tempest_environment, identity, downloads)
        bench = Bench(directory, identity, environment, tempest)
        outcomes = []
        for case in CASES:
            _say(f"{case.name} …")
            outcomes.append(bench.run(case, pattern))
            run = outcomes[-1].run
            counts = ", ".join(f"{run.count(status)} {status}" for status in ("success", "fail", "skip"))
            _say(f"  {counts} in {run.seconds:.0f} s")
        return outcomes


def _judge(outcomes: Sequence[Outcome], directory: Path, *, keep: bool) -> int:
    differences = find_differences(outcomes)
    for case, difference in differences:
        _say(f"\n{case.name}: {difference.test}: {difference.without} -> {difference.behind}")
        _say(difference.details[-5000:])
    # Nothing passed: then nothing was compared either.
    is_good = not differences and outcomes[0].run.count("success")
    is_good = is_good and not any(outcome.faults for outcome in outcomes)
    if keep or not is_good:
        _say(f"logs: {directory}")
    else:
        shutil.rmtree(directory)
    return 0 if is_good else 1


def _versions() -> dict[str, str]:
    glance = ("glance", "keystonemiddleware", "gunicorn", "pyuwsgi")
    return {
        "tempest": TEMPEST.version("tempest"),
        "keystone": KEYSTONE.version("keystone"),
        **{package: pinned_version(package) for package in glance},
        "Python": platform.python_version(),
        "glance-shim": importlib.metadata.version("glance-shim"),
    }


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tempest", description=__doc__)
    parser.add_argument("--regex", default=ALL, help="run these tests only, and write no page")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page with the markers for it")
    parser.add_argument("--keep", action="store_true", help="leave all logs, also when all is well")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
