"""The shape of the configuration, read off the models: which options are tables, what each one takes.

Faults look for the nearest known key here, and ``describe.py`` walks through it; nothing is written twice.
"""

import enum
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, TypeGuard, get_args, get_origin

from pydantic import BaseModel

from shim.config.kinds import Kind, Takes
from shim.config.settings import Settings
from shim.config.units import either


def is_table(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether an option is one table, like ``spool``."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_optional_table(annotation: Any) -> bool:
    """Whether an option is one table, or none, like ``glance.service_auth``."""
    inner = get_args(annotation)
    return NoneType in inner and any(is_table(choice) for choice in inner)


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table that an option is, or has many of (``upstreams``, ``routes``); None for a plain value."""
    if is_table(annotation):
        return annotation
    return next((table for inner in get_args(annotation) if (table := table_of(inner))), None)


def table_at(path: Sequence[str | int]) -> type[BaseModel]:
    """The table at ``path``; names of upstreams and indexes of routes lead no deeper."""
    model: type[BaseModel] = Settings
    # A part that is no option of the table is the name of an upstream, or an index.
    for part in path:
        field = model.model_fields.get(str(part))
        model = (field and table_of(field.annotation)) or model
    return model


def all_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all options that have one fixed name."""
    for name, field in model.model_fields.items():
        # What is in [upstreams.NAME] and [[routes]] has no fixed key: left out.
        if is_table(field.annotation):
            yield from all_keys(field.annotation, f"{prefix}{name}.")
        elif table_of(field.annotation) is None:
            yield prefix + name


def takes(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What may be written for a plain option, in a few words; a list in brackets."""
    for mark in metadata:
        if isinstance(mark, Kind | Takes):
            return mark.takes
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(inner[0], inner[1:])
    if origin is Literal:
        return either(f'"{choice}"' for choice in inner)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return either(f'"{member.value}"' for member in annotation)
    if origin is tuple:
        return f"[{takes(inner[0])}, ...]"
    # What is left is a value that may be missing.
    return takes(next(choice for choice in inner if choice is not NoneType))
