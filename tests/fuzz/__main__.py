"""``python -m tests.fuzz``: every target under atheris for some seconds, then a table for docs/fuzzing.md.

What was found to be worth keeping stays in ``.lab/fuzz``, so that the next run goes on where this one ended;
an input that is a finding is kept there too, and the exit status is 1.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.matrix.tables import as_markdown, put_between

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / ".lab/fuzz"
PAGE = ROOT / "docs/fuzzing.md"
NAME = "make fuzz"
"""Of the markers in it."""

ONE = "--one"
LONGEST_INPUT = 4096
DONE = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What came of one target.

    Attributes:
        covered: Edges of the instrumented code that were reached.
        finding: The end of what was told, where a fault was found.
    """

    name: str
    tried: int
    covered: int
    kept: int
    finding: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz all targets, or be the process that fuzzes one."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [ONE]:
        return fuzz(given[1], given[2:])
    options = _parse(given)
    if importlib.util.find_spec("atheris") is None:
        _say("SKIPPED: atheris is not installed (pip install '.[fuzz]')")
        return int(os.environ.get("CI") == "true")
    outcomes = []
    for name in options.target or _targets():
        _say(f"{name}, {options.seconds} s …")
        outcomes.append(run(name, options.seconds))
    page = render(outcomes, options.seconds)
    findings = [outcome for outcome in outcomes if outcome.finding]
    for outcome in findings:
        _say(f"{outcome.name}:\n{outcome.finding}")
    if not findings:
        page += f"\n\n{render_coverage()}"
        if options.output:
            PAGE.write_text(put_between(PAGE.read_text(), NAME, page))
    _say(page)
    return int(bool(findings))


def fuzz(name: str, arguments: Sequence[str]) -> int:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris  # noqa: PLC0415 - only here, and only where it is installed

    with atheris.instrument_imports(include=["shim.wire"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented as it is imported
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()
    return 0


def run(name: str, seconds: int) -> Outcome:
    """Fuzz one target in a process of its own."""
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    _plant(name, corpus)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-timeout=10", "-rss_limit_mb=2048"]
    command = [sys.executable, "-m", "tests.fuzz", ONE, name, *limits, f"-artifact_prefix={CORPUS}/{name}-"]
    ended = subprocess.run(
        [*command, "-print_final_stats=1", corpus],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + 300,
        check=False,
    )
    done = DONE.search(ended.stdout)
    return Outcome(
        name,
        tried=int(done[1]) if done else 0,
        covered=int(done[2]) if done else 0,
        kept=sum(1 for _ in corpus.iterdir()),
        finding="" if ended.returncode == 0 and done else ended.stdout[-3000:],
    )


def _plant(name: str, corpus: Path) -> None:
    from tests.fuzz.seeds import seeds  # noqa: PLC0415 - what it imports must not be here before atheris is

    for number, seed in enumerate(seeds()[name]):
        (corpus / f"seed-{number}").write_bytes(seed)


def _targets() -> list[str]:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    return list(TARGETS)


def render(outcomes: Sequence[Outcome], seconds: int) -> str:
    """The page: figures of each target."""
    rows = [("target", "inputs tried", "edges reached", "inputs kept", "findings")]
    for outcome in outcomes:
        told = "**one**" if outcome.finding else "none"
        rows.append((outcome.name, f"{outcome.tried:,}", str(outcome.covered), str(outcome.kept), told))
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("atheris", "h11", "httptools")
    )
    heading = f"{datetime.now(UTC):%Y-%m-%d}, {seconds} s for each target; {versions}."
    return f"{heading}\n\n{as_markdown(rows)}"


def render_coverage() -> str:
    """What all kept inputs together reach, a line for each module."""
    from tests.fuzz.coverage import measure  # noqa: PLC0415 - as for seeds

    inputs = {name: [path.read_bytes() for path in (CORPUS / name).glob("*")] for name in _targets()}
    rows = [("shim/wire", "lines of functions", "reached")]
    for module, (reached, lines) in measure(inputs).items():
        rows.append((module, str(lines), str(reached)))
    return as_markdown(rows)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--no-output", dest="output", action="store_false", help="leave docs/fuzzing.md alone"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
