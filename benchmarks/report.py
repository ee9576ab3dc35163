"""docs/benchmarks.md and its plots, made of published results alone.

What a person wrote there stays; what stands between the markers is made anew.
"""

import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.results import Results

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
PLOTTER = ROOT / ".lab" / "plots" / "bin" / "python"
NAME = "make bench"
PLOTS = {
    "bench-cpu": "CPU, the shim over others",
    "bench-time": "Time, latency and holding, the shim over others",
}

_MIB = 1024**2
_COLUMNS = ("cpu", "cpu_user", "cpu_system", "time", "p99", "hold", "memory")
_UNITS = {"memory": "MiB"}


def publish(results: Results, file: Path) -> bool:
    """Write the document and draw the plots from the results in ``file``; whether there was what draws.

    Raises:
        ValueError: The document has lost its markers.
    """
    is_drawn = draw(file)
    DOCUMENT.write_text(put_between(DOCUMENT.read_text(), render(results)))
    return is_drawn


def draw(file: Path) -> bool:
    """Draw the plots, with the environment that has matplotlib."""
    if not PLOTTER.exists():
        return False
    command = [PLOTTER, Path(__file__).with_name("plots.py"), file, IMAGES]
    return not subprocess.run(command, check=False).returncode


def put_between(text: str, inside: str, name: str = NAME) -> str:
    """``text`` with what stands between the markers replaced.

    Raises:
        ValueError: The markers are not there, once each and in order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no place between {begin!r} and {end!r}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{inside.strip()}\n{end}{rest.partition(end)[2]}"


def render(results: Results) -> str:
    """The generated part."""
    scenarios = results["scenarios"]
    parts = [*_circumstances(scenarios), f"**{table.summary(scenarios)}.**"]
    if missed := table.missed(scenarios):
        parts.append("Missed:\n\n" + "\n".join(f"- {line}" for line in missed))
    parts += [_picture(name, text) for name, text in PLOTS.items() if (IMAGES / f"{name}.svg").exists()]
    parts += ["### Targets", table.as_markdown(table.lines(scenarios, titles=True))]
    parts += ["### Each scenario", *_scenarios(scenarios)]
    if profile := results.get("profile"):
        parts += ["### Where the time goes", *_profile(profile)]
    return "\n\n".join(parts)


def _circumstances(scenarios: Mapping[str, Any]) -> Iterator[str]:
    """Once for all scenarios that were measured alike."""
    told: dict[str, list[str]] = {}
    for result in scenarios.values():
        told.setdefault(_place(result["circumstances"]), []).append(result["title"])
    for text, titles in told.items():
        yield text if len(told) == 1 else f"{'; '.join(titles)}: {text}"


def _place(where: Mapping[str, Any]) -> str:
    programs = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    machine = f"{where['cores']} cores ({where['processor']}), Linux {where['kernel']}, {where['filesystem']}"
    return f"Measured on {where['day']}: {machine}; {programs}."


def _picture(name: str, text: str) -> str:
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="images/{name}-dark.svg">'
    return f'<picture>{dark}<img alt="{text}" src="images/{name}.svg"></picture>'


def _scenarios(scenarios: Mapping[str, Any]) -> Iterator[str]:
    for result in scenarios.values():
        yield f"#### {result['title']}"
        yield result["means"]
        yield _values(result["samples"])
        remarks = [f"{name} is void: {reason}." for name, reason in result["void"].items()]
        remarks += [f"{name} was not measured: {reason}." for name, reason in result["absent"].items()]
        remarks += [f"Note: {note}." for note in result["notes"]]
        if result["unsettled"]:
            remarks.append(f"Before {result['unsettled']} runs the page cache had not come to rest.")
        if remarks:
            yield "\n".join(f"- {remark}" for remark in remarks)


def _values(samples: Mapping[str, list[Mapping[str, float] | None]]) -> str:
    """Medians of each participant, to see what the ratios are made of."""
    known = {name: [sample for sample in taken if sample] for name, taken in samples.items()}
    columns = [c for c in _COLUMNS if any(c in sample for taken in known.values() for sample in taken)]
    head = ["participant", *(f"{column.replace('_', ' ')}, {_UNITS.get(column, 's')}" for column in columns)]
    rows = [head, ["---"] * len(head)]
    for name, taken in known.items():
        if taken:
            rows.append(
                [name, *(_median([sample.get(column) for sample in taken], column) for column in columns)]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _median(values: list[float | None], column: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = statistics.median(known)
    return f"{middle / _MIB:.0f}" if column == "memory" else f"{middle:.3f}"


def _profile(profile: Mapping[str, Any]) -> Iterator[str]:
    yield f"Measured on {profile['day']}. {profile['how']}"
    for title, parts in profile["scenarios"].items():
        yield f"#### {title}"
        for heading, rows in parts.items():
            lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
            yield f"{heading}:"
            yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
