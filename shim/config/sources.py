"""Where values come from: the file, the environment, the flags; each gives its entries and its faults.

pydantic-settings has sources of its own, but they stop at the first text that they cannot decode, pass
over variables that no option has, and forget where a value came from. An operator is owed all three, so
this is our own: every source becomes the same list of entries, which ``load.py`` merges.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeAlias

from shim.config.faults import Fault

Keys: TypeAlias = tuple[str, ...]

ENVIRONMENT_PREFIX = "GLANCE_SHIM_"

# Carry the prefix, and are read by other parts than the configuration (shim/demo/environment.py).
_NOT_OPTIONS = frozenset({"GLANCE_SHIM_DEMO_HOME"})
_TOML_OPENINGS = ("[", "{", '"', "'")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value, or one list, and where it came from."""

    path: Keys
    value: Any
    source: str


@dataclass(slots=True)
class Entries:
    """What one source gives."""

    found: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, path: Keys, value: Any, source: str) -> None:
        """Add ``value``, a table as its single keys, so that a later source may replace only one of them."""
        self.found += [Entry(path + inner, leaf, source) for inner, leaf in leaves(value)]


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line sets, as it was given; ``settings`` are the ``KEY=VALUE`` of ``--set``."""

    listen: Sequence[str] = ()
    upstream: str | None = None
    settings: Sequence[str] = ()


def leaves(value: Any) -> Iterator[tuple[Keys, Any]]:
    """The values in a tree of tables with their paths; lists are values, and so is an empty table."""
    if not isinstance(value, dict) or not value:
        yield (), value
        return
    for name, inner in value.items():
        for path, leaf in leaves(inner):
            yield (name, *path), leaf


def from_defaults(environment: Mapping[str, str]) -> Entries:
    """The defaults that the machine has a say in: ``$TMPDIR`` and, under systemd, ``$RUNTIME_DIRECTORY``."""
    entries = Entries()
    # systemd separates several by colons; the first is as good as any.
    if runtime := environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        entries.add(("server", "state_directory"), runtime, "$RUNTIME_DIRECTORY")
    # An empty variable is as good as none, as for tempfile and mktemp.
    if directory := environment.get("TMPDIR"):
        entries.add(("spool", "directory"), directory, "$TMPDIR")
    return entries


def from_file(file: FilePath) -> Entries:
    """The values of a TOML file; one that cannot be read is one fault."""
    entries, source = Entries(), str(file)
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        # The path stands in the source already; str(error) would repeat it.
        entries.faults.append(Fault("", source, f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        entries.faults.append(Fault("", source, f"is not UTF-8 text (byte {error.start})"))
    except tomllib.TOMLDecodeError as error:
        # The message ends in "(at line 3, column 5)".
        entries.faults.append(Fault("", source, f"is not TOML: {error}"))
    else:
        for name, value in content.items():
            entries.add((name,), value, source)
    return entries


def from_environment(environment: Mapping[str, str]) -> Entries:
    """The values of variables with our prefix: ``GLANCE_SHIM_SPOOL__MAX_BODY`` is ``spool.max_body``."""
    entries = Entries()
    # Sorted, so that faults come in the same order each time.
    for variable in sorted(environment):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _NOT_OPTIONS:
            entries.add(_path_of(variable), decode(environment[variable]), variable)
    return entries


def from_flags(flags: Flags) -> Entries:
    """The values of the command line; a flag of its own beats ``--set`` for the same key."""
    entries = Entries()
    for setting in flags.settings:
        key, separator, text = setting.partition("=")
        if separator and key.strip():
            entries.add(tuple(key.strip().split(".")), decode(text), "--set")
        else:
            entries.faults.append(Fault(key, "--set", "write KEY=VALUE, as in --set spool.max_body=8GiB"))
    # --listen once is a list of one: it replaces the list of the file, and does not add to it.
    if flags.listen:
        entries.add(("server", "listen"), list(flags.listen), "--listen")
    if flags.upstream is not None:
        entries.add(("upstream",), flags.upstream, "--upstream")
    return entries


def decode(text: str) -> Any:
    """The value that ``text`` stands for outside a file: lists, tables and quoted text are TOML.

    What only looks like TOML stays text, and the option that gets it says what it takes: an IPv6
    address begins with a bracket too. Numbers stay text as well; each kind of option reads its own.
    """
    stripped = text.strip()
    if not stripped.startswith(_TOML_OPENINGS):
        return stripped
    try:
        return tomllib.loads(f"value = {stripped}")["value"]
    except tomllib.TOMLDecodeError:
        return stripped


def _path_of(variable: str) -> Keys:
    given = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
    path = [part.lower() for part in given]
    # The name of an upstream is the operator's own, and keeps its case.
    if path[0] == "upstreams":
        path[1:2] = given[1:2]
    return tuple(path)
