"""From defaults, file, environment and flags to one frozen ``Settings``, or to all faults at once.

Sources give entries, entries are merged into one tree, and the tree is judged twice: each option by its
kind, and the options among each other. Where every value came from is kept, for faults and for ``config``.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from shim.config.faults import ConfigurationError, Fault, Path, dotted, explain
from shim.config.relations import relation_faults
from shim.config.settings import Settings
from shim.config.sources import (
    Entries,
    Entry,
    Flags,
    from_defaults,
    from_environment,
    from_file,
    from_flags,
)

DEFAULT = "default"
_NO_FLAGS = Flags()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each of them came from."""

    settings: Settings
    sources: Mapping[Path, str]

    def source(self, path: Path) -> str:
        """A file's path, an environment variable, a flag, or ``"default"``, for the option at ``path``."""
        return self.sources.get(path, DEFAULT)


def load(
    file: FilePath | None = None,
    flags: Flags = _NO_FLAGS,
    *,
    environment: Mapping[str, str] = os.environ,
    upstream_required: bool = False,
) -> Loaded:
    """Read the whole configuration; flags beat the environment, which beats the file.

    Args:
        file: TOML, or None for none.
        flags: What the command line sets.
        environment: Variables; those that begin with ``GLANCE_SHIM_`` set options.
        upstream_required: Whether it has to say what to forward to, as for ``serve`` and ``check``.

    Raises:
        ConfigurationError: With every fault there is.
    """
    from_disk = from_file(file) if file is not None else Entries()
    read = [from_defaults(environment), from_disk, from_environment(environment), from_flags(flags)]
    tree = _Tree()
    tree.merge(entry for entries in read for entry in entries.found)
    faults = [fault for entries in read for fault in entries.faults] + tree.faults
    settings, found = _validate(tree.values)
    # What an unreadable file says about upstreams and routes is not known: nothing to be said about it.
    if not from_disk.faults:
        found += relation_faults(tree.values, upstream_required=upstream_required)
    faults += [Fault(dotted(path), tree.nearest_source(path), message) for path, message in found]
    if settings is None or faults:
        raise ConfigurationError(faults)
    return Loaded(settings, tree.sources)


def _validate(values: Mapping[str, Any]) -> tuple[Settings | None, list[tuple[Path, str]]]:
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        return None, list(explain(error))


@dataclass(slots=True)
class _Tree:
    """The values of all sources, merged; the last one of each key counts."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[Path, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def merge(self, entries: Iterable[Entry]) -> None:
        """Put ``entries`` in place, in order of precedence, the weakest first."""
        for entry in entries:
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        table = self.values
        # Tables grow where a key needs them; a value in the way was meant to be something else.
        for depth, name in enumerate(entry.path[:-1], start=1):
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                whole = entry.path[:depth]
                message = (
                    f"cannot be set alone: {self.nearest_source(whole)} gives {dotted(whole)} as a whole"
                )
                self.faults.append(Fault(dotted(entry.path), entry.source, message))
                return
        if entry.value == {}:
            # An empty table sets nothing; it stands here so that an unknown one is still found.
            table.setdefault(entry.path[-1], {})
        else:
            table[entry.path[-1]] = entry.value
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        """Note the source of ``entry``, and forget those of a list that it replaces."""
        kept = {
            path: source for path, source in self.sources.items() if path[: len(entry.path)] != entry.path
        }
        self.sources = kept | {entry.path + inner: entry.source for inner in _parts(entry.value)}

    def nearest_source(self, path: Path) -> str:
        """Whom to tell about a fault at ``path``: who set it, or else who set something in the same table."""
        # From the whole path up to its first key: a missing option has no source, its neighbours have.
        for end in range(len(path), 0, -1):
            for known, source in self.sources.items():
                if known[:end] == path[:end]:
                    return source
        return "not set"


def _parts(value: Any) -> Iterator[Path]:
    """The paths of ``value`` itself and of all that is in it, the elements of lists too."""
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from ((name, *path) for path in _parts(part))
