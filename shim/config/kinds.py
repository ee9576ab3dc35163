"""What an option may hold: each kind reads a TOML value, writes it back, and describes itself.

A kind is pydantic metadata, so the models in ``options.py`` read as a list of names, kinds, defaults and
reasons; validation, the printed configuration and the JSON Schema all take what they need from it.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from shim.config import units
from shim.server.addresses import InheritedSocket, ListenAddress, TcpAddress, UnixAddress, parse_listen
from shim.timing import Seconds
from shim.upstream.address import Protocol, UpstreamAddress, parse_upstream

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        takes: What to write, in a few words, for the commented defaults.
        parse: From a TOML value (or the same as text) to the value computed with; ValueError for the operator.
        format: Back to a TOML value that parses to an equal one.
        schema: The TOML values it takes, as JSON Schema.
        parsed: Types of values that are taken as they are: the settings can be made from them in code.
    """

    takes: str
    parse: Callable[[object], Any]
    format: Callable[[Any], str | int | bool]
    schema: Mapping[str, Any]
    parsed: tuple[type, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by ``parse`` alone; ``model_dump(mode="json")`` writes by ``format``."""
        write = core_schema.plain_serializer_function_ser_schema(self.format, when_used="json")
        return core_schema.no_info_plain_validator_function(self._read, serialization=write)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema as it was given: the function behind it cannot be described."""
        return dict(self.schema)

    def _read(self, value: object) -> Any:
        return value if isinstance(value, self.parsed) else self.parse(value)


# -- quantities -----------------------------------------------------------------------------------

UNLIMITED_SCHEMA = {"const": "unlimited"}
SHARE_SCHEMA = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"}


def _measured(measure: units.Measure) -> dict[str, Any]:
    pattern = rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(measure.units)})?\s*$"
    return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]}


def _any_of(*schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [choice for schema in schemas for choice in schema.get("anyOf", [schema])]}


SIZE_SCHEMA = _measured(units.SIZE)
DURATION_SCHEMA = _measured(units.DURATION)
COUNT_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]}

Size: TypeAlias = Annotated[int, Kind("size", units.parse_size, units.format_size, SIZE_SCHEMA)]
"""Bytes."""

LeastSize: TypeAlias = Annotated[
    int, Kind("size, more than 0", units.above_zero(units.parse_size), units.format_size, SIZE_SCHEMA)
]
"""Bytes, at least one."""

SizeLimit: TypeAlias = Annotated[
    float,
    Kind(
        'size, or "unlimited"',
        units.limit(units.parse_size),
        units.format_size,
        _any_of(SIZE_SCHEMA, UNLIMITED_SCHEMA),
    ),
]
"""Bytes, or UNLIMITED."""

SpaceLimit: TypeAlias = Annotated[
    float | units.Share,
    Kind(
        'size, share of the file system, or "unlimited"',
        units.limit(units.parse_size_or_share),
        units.format_size,
        _any_of(SIZE_SCHEMA, SHARE_SCHEMA, UNLIMITED_SCHEMA),
        parsed=(units.Share,),
    ),
]
"""Bytes, a share of the file system, or UNLIMITED."""

SpaceReserve: TypeAlias = Annotated[
    int | units.Share,
    Kind(
        "size, or share of the file system",
        units.parse_size_or_share,
        units.format_size,
        _any_of(SIZE_SCHEMA, SHARE_SCHEMA),
        parsed=(units.Share,),
    ),
]
"""Bytes, or a share of the file system."""

Rate: TypeAlias = Annotated[int, Kind("rate", units.parse_rate, units.format_rate, _measured(units.RATE))]
"""Bytes per second."""

CountLimit: TypeAlias = Annotated[
    float,
    Kind(
        'count, or "unlimited"',
        units.limit(units.parse_count),
        units.format_count,
        _any_of(COUNT_SCHEMA, UNLIMITED_SCHEMA),
    ),
]
"""A whole number from 1 on, or UNLIMITED."""

Pause: TypeAlias = Annotated[
    Seconds, Kind("duration", units.parse_duration, units.format_duration, DURATION_SCHEMA)
]
"""Seconds, from 0 on."""

Wait: TypeAlias = Annotated[
    Seconds,
    Kind(
        "duration, more than 0", units.above_zero(units.parse_duration), units.format_duration, DURATION_SCHEMA
    ),
]
"""Seconds, more than 0: a wait that must be possible and must end."""

WaitLimit: TypeAlias = Annotated[
    Seconds,
    Kind(
        'duration, or "unlimited"',
        units.limit(units.parse_duration),
        units.format_duration,
        _any_of(DURATION_SCHEMA, UNLIMITED_SCHEMA),
    ),
]
"""Seconds, more than 0, or UNLIMITED."""
