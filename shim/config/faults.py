"""What is wrong with a configuration, in the operator's words: key, source, message.

Pydantic finds most faults; here its errors become ours, and an unknown key gets the nearest known one.
All faults of a configuration travel together in one ``ConfigurationError``.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shim.config.kinds import shown
from shim.config.shape import all_keys, table_at
from shim.config.toml import key

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands: names of tables and keys, and indexes of lists."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend.

    Attributes:
        key: Dotted, like ``routes[1].path``; empty where a whole source cannot be read.
        source: Where the value came from: a file's path, an environment variable, a flag, or ``not set``.
        message: What is wrong and what to write instead.
    """

    key: str
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.key} ({self.source}): {self.message}" if self.key else f"{self.source}: {self.message}"


class ConfigurationError(Exception):
    """The configuration has faults; ``faults`` holds all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def dotted(path: Path) -> str:
    """``path`` as operators read it: ``("routes", 1, "path")`` is ``routes[1].path``."""
    # A name with a dot in it gets its quotes, or it would read as two keys.
    parts = [f"[{part}]" if isinstance(part, int) else f".{key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """The one of ``known`` that ``name`` was probably meant to be, or none."""
    return difflib.get_close_matches(name, known, n=1)


# -- pydantic's errors ----------------------------------------------------------------------------


def explain(error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Where each fault of ``error`` is, and what to tell about it."""
    for details in error.errors(include_url=False):
        # A faulty key of a table of tables ends in this mark, which says nothing to an operator.
        path = tuple(part for part in details["loc"] if part != "[key]")
        yield path, _message(path, details)


# By pydantic's name of the error; what is not here keeps pydantic's own words.
_MESSAGES = {
    "missing": "is missing",
    "value_error": "{error}",
    "literal_error": "{value}: must be {expected}",
    "enum": "{value}: must be {expected}",
    # Not the value: with a bracket too few, or in a list, it holds whatever the table was to hold.
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": '{value}: must be a list, in brackets, its text in quotes, as in ["one", "two"]',
}


def _message(path: Path, details: ErrorDetails) -> str:
    if details["type"] == "extra_forbidden":
        return _unknown_key(path)
    text = _MESSAGES.get(details["type"], "{value}: {msg}")
    known = {**details.get("ctx", {}), "value": shown(details["input"]), "msg": details["msg"]}
    # Only our own text is a template: braces in a value stay braces.
    return text.format_map(known)


# -- unknown keys ---------------------------------------------------------------------------------


def _unknown_key(path: Path) -> str:
    # Only at the first unknown name is there an error, so all above it is known.
    name, beside = str(path[-1]), [*table_at(path[:-1]).model_fields]
    # Often the key is right and its table is missing: max_body for spool.max_body.
    elsewhere = [key for key in all_keys() if key.endswith(f".{name}")]
    meant = [*elsewhere, *(dotted((*path[:-1], key)) for key in nearest(name, beside))]
    if meant:
        return f"unknown key; did you mean {meant[0]}?"
    return f"unknown key; known here: {', '.join(beside)}"
