"""A scenario as its file in ``scenarios/`` has it: what is sent, through whom, and which targets hold.

The files are TOML; sizes are written as in the shim's own configuration, rates as bytes per second.
"""

import dataclasses
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.engine.verdict import Target
from shim.config.units import SIZE, parse_size

FOLDER = Path(__file__).with_name("scenarios")
AGAIN = "-again"
"""Ends the name of a participant that is entered a second time, to know the noise."""

DRIVERS = ("load", "beside", "memory", "glance")
MODES = ("up", "cl", "get", "trickle")


class ScenarioFault(Exception):
    """A scenario's file does not say what it must; the text names the file."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the client sends; the options of ``load.c`` by other names.

    Attributes:
        mode: ``up`` chunked, ``cl`` with Content-Length, ``get``, or ``trickle``.
        target: The request target.
        size: Bytes of a body.
        chunk: Bytes of a chunk.
        connections: At once.
        requests: On each of them; 0: until it is ended.
        rate: Bytes per second and connection; None: as fast as it goes.
        ask_rate: GETs per second and connection.
        initial: ``trickle``: bytes that are sent at once.
    """

    mode: str
    target: str = "/v2/images/x/file"
    size: int = 0
    chunk: int = 64 * 1024
    connections: int = 1
    requests: int = 1
    rate: int | None = None
    ask_rate: int | None = None
    initial: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that is tried.

    Attributes:
        name: Of its file.
        title: For a table.
        means: What it says to an operator.
        driver: Who runs it, see ``DRIVERS``.
        participants: In the order of the file.
        load: What is measured.
        beside: What goes on at the same time.
        drain: Bytes per second that the server behind takes; None: all there is.
        targets: What must hold.
        repetitions: Where it needs another number than the others.
        is_quick: Whether it is part of the short run.
    """

    name: str
    title: str
    means: str
    driver: str
    participants: tuple[str, ...]
    load: Load
    beside: Load | None
    drain: int | None
    targets: tuple[Target, ...]
    repetitions: int | None
    is_quick: bool

    @property
    def twins(self) -> tuple[str, str] | None:
        """The participant that is entered twice, under both its names."""
        for name in self.participants:
            if name.endswith(AGAIN):
                return name.removesuffix(AGAIN), name
        return None

    def among(self, names: Collection[str]) -> "Scenario":
        """With these participants only, and without targets that name others."""
        kept = tuple(name for name in self.participants if name in names)
        targets = tuple(t for t in self.targets if t.of in kept and (t.against is None or t.against in kept))
        return dataclasses.replace(self, participants=kept, targets=targets)


def load_all(*, quick: bool = False, folder: Path = FOLDER) -> list[Scenario]:
    """All scenarios by the order of their files' names; with ``quick`` the short run's, at its sizes."""
    found = [read_scenario(file, quick=quick) for file in sorted(folder.glob("*.toml"))]
    return [scenario for scenario in found if scenario.is_quick or not quick]


def read_scenario(file: Path, *, quick: bool = False) -> Scenario:
    """One scenario.

    Raises:
        ScenarioFault: The file is not right.
    """
    name = file.stem.partition("-")[2]
    try:
        return parse_scenario(name, tomllib.loads(file.read_text()), quick=quick)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as fault:
        raise ScenarioFault(f"{file.name}: {type(fault).__name__}: {fault}") from fault


def parse_scenario(name: str, table: Mapping[str, Any], *, quick: bool = False) -> Scenario:
    """A scenario from its table; with ``quick`` with the changes that its own [quick] makes.

    Raises:
        KeyError: Something is missing.
        TypeError: A key is unknown.
        ValueError: A value is not possible.
    """
    known = {*table["participants"], *table.get("quick", {}).get("participants", ())}
    fields = merge(table, table.get("quick", {})) if quick else dict(table)
    fields.pop("quick", None)
    load = _parse_load(fields.pop("load", {"mode": "get"}))
    beside = fields.pop("beside", None)
    scenario = Scenario(
        name=name,
        title=fields.pop("title").format(size=_size(load.size), chunk=_size(load.chunk)),
        means=" ".join(fields.pop("means").split()),
        driver=_one_of(DRIVERS, fields.pop("driver", "load")),
        participants=tuple(fields.pop("participants")),
        load=load,
        beside=None if beside is None else _parse_load(beside),
        drain=fields.pop("drain", None),
        targets=_parse_targets(fields.pop("targets", [])),
        repetitions=fields.pop("repetitions", None),
        is_quick="quick" in table,
    )
    if fields:
        raise TypeError(f"unknown: {', '.join(fields)}")
    _check_targets(scenario.targets, known)
    return scenario.among(scenario.participants)


def merge(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` with ``changes`` laid over it, tables within it as well."""
    merged = dict(table)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _parse_load(table: Mapping[str, Any]) -> Load:
    sizes = {key: parse_size(table[key]) for key in ("size", "chunk", "initial") if key in table}
    load = Load(**{**table, **sizes})
    _one_of(MODES, load.mode)
    return load


def _parse_targets(tables: Sequence[Mapping[str, Any]]) -> tuple[Target, ...]:
    targets = []
    for table in tables:
        bound = table.get("at_most")
        at_most = float(parse_size(bound)) if isinstance(bound, str) else bound
        targets.append(Target(**{"against": None, **table, "at_most": at_most}))
    return tuple(targets)


def _check_targets(targets: Sequence[Target], known: set[str]) -> None:
    for target in targets:
        for name in (target.of, target.against):
            if name is not None and name not in known:
                raise ValueError(f"a target names {name}, which is no participant")


def _one_of(known: Sequence[str], word: str) -> str:
    if word not in known:
        raise ValueError(f"{word!r} is none of {', '.join(known)}")
    return word


def _size(amount: int) -> str:
    """As a person writes it: ``1 GiB``."""
    text = SIZE.format(Fraction(amount))
    number = text.rstrip("BKMGTi")
    return f"{number} {text[len(number) :]}"
