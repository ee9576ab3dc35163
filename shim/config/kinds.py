"""What an option may hold: each kind reads a TOML value, writes it back, and describes itself.

A kind is pydantic metadata, so the models of ``options.py`` read as lists of names, kinds, defaults and
reasons, and validation, printing and JSON Schema take the rest from here. Quantities stand in this module;
addresses, paths and names in ``places.py``.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from shim.config import units
from shim.timing import UNLIMITED, Seconds

# To the last @: a password may have one too.
_USER_INFORMATION = re.compile(r"//.*@")


def shown(value: object) -> str:
    """``value`` as a message repeats it: of a URL without the user and the password."""
    return _USER_INFORMATION.sub("//...@", repr(value))


# Compared by identity: pydantic hashes its metadata, and a schema has no hash.
@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of value.

    Attributes:
        takes: What to write, in a few words, for the commented defaults.
        parse: From a TOML value, or the same as text, to the value computed with; raises ValueError.
        format: Back to a TOML value that parses to an equal one.
        schema: JSON Schema of the values taken.
        parsed: Types taken as they are, so that settings can be made in code too.
    """

    takes: str
    parse: Callable[[object], Any]
    format: Callable[[Any], str | float | bool | dict[str, str]]
    schema: Mapping[str, Any]
    parsed: tuple[type, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by ``parse`` alone; ``model_dump(mode="json")`` writes by ``format``."""
        write = core_schema.plain_serializer_function_ser_schema(self.format, when_used="json")
        return core_schema.no_info_plain_validator_function(self._read, serialization=write)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema as given: pydantic cannot see into a function."""
        return dict(self.schema)

    def _read(self, value: object) -> Any:
        return value if isinstance(value, self.parsed) else self.parse(value)


@dataclass(frozen=True, slots=True)
class Takes:
    """What to write, where it does not follow from the kind alone."""

    takes: str


def or_text(kind: Kind, text: str, parse: Callable[[object], Any]) -> Kind:
    """``kind`` with one more value, written as ``text``; ``parse`` has to take it."""
    choices = [*kind.schema.get("anyOf", [kind.schema]), {"const": text}]
    # Flat, so that a kind made of several stays one list of choices.
    return replace(kind, takes=f'{kind.takes}, or "{text}"', parse=parse, schema={"anyOf": choices})


def limited(kind: Kind) -> Kind:
    """``kind`` as a limit: more than 0, or ``"unlimited"`` (see ``units.limit``)."""
    return or_text(kind, "unlimited", units.limit(kind.parse))


def above_zero(kind: Kind) -> Kind:
    """``kind`` where 0 has no sense and no limit is not offered."""
    return replace(kind, takes=f"{kind.takes}, more than 0", parse=units.above_zero(kind.parse))


# -- quantities -----------------------------------------------------------------------------------


def _measured(measure: units.Measure) -> dict[str, Any]:
    pattern = rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(measure.units)})?\s*$"
    return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]}


# Schemas tell forms only: that a limit is more than 0 is left to the parser, which can say why.
_SHARE = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"}
_PART = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^[01](\.[0-9]+)?$"},
    ]
}
_COUNT = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]}

# One kind for each quantity; the option types below are these, as they are or within limits.
_size = Kind("size", units.parse_size, units.format_size, _measured(units.SIZE))
_space = Kind(
    "size, or share of the file system",
    units.parse_size_or_share,
    units.format_size,
    {"anyOf": [*_size.schema["anyOf"], _SHARE]},
    parsed=(units.Share,),
)
_rate = Kind("rate", units.parse_rate, units.format_rate, _measured(units.RATE))
_count = Kind("count", units.parse_count, units.format_count, _COUNT)
_duration = Kind("duration", units.parse_duration, units.format_duration, _measured(units.DURATION))

Size: TypeAlias = Annotated[int, _size]
"""Bytes, from 0 on."""
LeastSize: TypeAlias = Annotated[int, above_zero(_size)]
"""Bytes, at least one."""
SizeLimit: TypeAlias = Annotated[float, limited(_size)]
"""Bytes, or UNLIMITED."""
SpaceReserve: TypeAlias = Annotated[int | units.Share, _space]
"""Bytes, or a share of the file system."""
SpaceLimit: TypeAlias = Annotated[float | units.Share, limited(_space)]
"""Bytes, a share of the file system, or UNLIMITED."""
Rate: TypeAlias = Annotated[int, _rate]
"""Bytes per second, from 0 on."""
Count: TypeAlias = Annotated[int, above_zero(_count)]
"""A whole number from 1 on."""
CountLimit: TypeAlias = Annotated[float, limited(_count)]
"""A whole number from 1 on, or UNLIMITED."""
Pause: TypeAlias = Annotated[Seconds, _duration]
"""Seconds, from 0 on: a wait that may be left out."""
Wait: TypeAlias = Annotated[Seconds, above_zero(_duration)]
"""Seconds, more than 0: a wait that has to end."""
WaitLimit: TypeAlias = Annotated[Seconds, limited(_duration)]
"""Seconds, more than 0, or UNLIMITED."""


# -- waits that follow the body, switches ---------------------------------------------------------


def _parse_response(value: object) -> Seconds | Literal["auto"] | units.Share:
    return "auto" if value == "auto" else units.limit(units.parse_duration)(value)


def _format_response(wait: Seconds | Literal["auto"]) -> str:
    return wait if isinstance(wait, str) else units.format_duration(wait)


def _parse_slots(value: object) -> float | Literal["auto"] | units.Share:
    return "auto" if value == "auto" else units.limit(units.parse_count)(value)


def _format_slots(slots: float | Literal["auto"]) -> int | str:
    return slots if isinstance(slots, str) else units.format_count(slots)


def _parse_interval(value: object) -> Seconds:
    if value == "off":
        return UNLIMITED
    try:
        return units.above_zero(units.parse_duration)(value)  # type: ignore[return-value] # no share of a disk
    except ValueError as fault:
        raise ValueError(f'{fault}; or write "off"') from None


def _format_interval(seconds: Seconds) -> str:
    return "off" if seconds == UNLIMITED else units.format_duration(seconds)


def _parse_part(value: object) -> float:
    # true is an int to Python, and a mistake here.
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    try:
        part = float(value) if is_number else math.nan  # type: ignore[arg-type] # narrowed one line above
    except ValueError:
        part = math.nan
    if not 0 < part <= 1:
        raise ValueError(f"{value!r}: not a part; write a number more than 0 and at most 1, as in 0.75")
    return part


def _parse_switch(value: object) -> bool:
    # "true" as text comes from the environment; yes and 1 would be two more ways to say one thing.
    if isinstance(value, bool):
        return value
    if value in ("true", "on"):
        return True
    if value in ("false", "off"):
        return False
    raise ValueError(f"{value!r}: write true or false")


def _parse_access(value: object) -> bool | Literal["combined"]:
    if value == "combined":
        return "combined"
    try:
        return _parse_switch(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "combined"') from None


ResponseWait: TypeAlias = Annotated[
    Seconds | Literal["auto"],
    replace(or_text(limited(_duration), "auto", _parse_response), format=_format_response),
]
"""Seconds, UNLIMITED, or ``"auto"``: by the size of the body."""
SlotLimit: TypeAlias = Annotated[
    float | Literal["auto"],
    replace(or_text(limited(_count), "auto", _parse_slots), format=_format_slots),
]
"""A whole number from 1 on, UNLIMITED, or ``"auto"``: as the server says."""
Interval: TypeAlias = Annotated[
    Seconds, replace(or_text(above_zero(_duration), "off", _parse_interval), format=_format_interval)
]
"""Seconds between two times that something is done, more than 0; ``"off"``, as UNLIMITED: it never is."""
Part: TypeAlias = Annotated[float, Kind("part, more than 0 and at most 1", _parse_part, float, _PART)]
"""A part of a whole: more than 0, at most 1."""
_switch = Kind("true or false", _parse_switch, bool, {"enum": [True, False, "true", "false", "on", "off"]})
Switch: TypeAlias = Annotated[bool, _switch]
AccessLog: TypeAlias = Annotated[
    bool | Literal["combined"],
    replace(or_text(_switch, "combined", _parse_access), format=lambda access: access),
]
"""Whether there are access lines, or ``"combined"``: there are, in Apache's form."""
