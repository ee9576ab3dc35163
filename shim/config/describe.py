"""The configuration shown: all defaults with reasons, the values in force with their sources, the schema.

All three are read off the models, so none can fall behind; the first two are TOML that loads again.
"""

import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from shim.config import toml
from shim.config.faults import Path
from shim.config.load import Loaded
from shim.config.settings import Settings
from shim.config.shape import is_optional_table, is_table, table_of, takes

# What pydantic writes for every secret.
HIDDEN = str(SecretStr("x"))

_WIDTH = 100
# Comments of one table stand in a column, unless a value is longer than this.
_COLUMN = 44

_INTRODUCTION = """\
# All options of glance-shim, with their defaults, what they take, and why they are as they are.
# Printed by `glance-shim config --defaults`; `glance-shim config` prints what is in force.
#
# Flags beat the environment (GLANCE_SHIM_SPOOL__MAX_BODY=8GiB), which beats this file. A line that
# begins with "#" and no space is an example: its option has no default, or none that fits everywhere.
#
#   size      bytes, or with a unit: 512, "64KiB", "1.5MiB", "10GiB", "1TiB"
#   rate      bytes per second, or with a unit: 1024, "1KiB/s"
#   duration  seconds, or with a unit: 90, "1500ms", "90s", "10min", "6h", "1d"
#   share     a part of the file system: "80%"
#
# 0 never means "unlimited": where there may be no limit, write "unlimited".
"""


# -- defaults -------------------------------------------------------------------------------------


def defaults() -> str:
    """A configuration file with every option at its default: ``config/glance-shim.toml``."""
    return "\n".join([_INTRODUCTION, *_blocks(Settings)])


def _blocks(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """One block of lines for each option of ``model``, its tables last, as TOML needs them."""
    tables = _table_names(model)
    for name, field in model.model_fields.items():
        if name not in tables:
            yield _option(name, field, as_example=False)
    for name in tables:
        yield from _table(prefix + name, model.model_fields[name])


def _table(name: str, field: FieldInfo) -> Iterator[str]:
    """A table with the dotted ``name``; one that is absent by default is an example."""
    table = table_of(field.annotation)
    assert table is not None
    if is_table(field.annotation):
        yield f"{_comment(inspect.getdoc(table))}[{name}]\n"
        yield from _blocks(table, f"{name}.")
        return
    header = f"#[[{name}]]"
    if field.examples:
        header = f"#[{name}.{field.examples[0]}]"
    elif is_optional_table(field.annotation):
        header = f"#[{name}]"
    yield f"{_comment(field.description)}{header}\n"
    for inner, inner_field in table.model_fields.items():
        yield _option(inner, inner_field, as_example=True)


def _option(name: str, field: FieldInfo, *, as_example: bool) -> str:
    # An example stands for a default that is missing, or would be this machine's.
    content = field.examples[0] if field.examples else field.default
    mark = "#" if field.examples or as_example else ""
    told = _comment(field.description) + _comment(f"Takes: {takes(field.annotation, field.metadata)}")
    return f"{told}{mark}{name} = {toml.value(content)}\n"


def _comment(text: str | None) -> str:
    # URLs and option names stay whole, so that they can be searched for.
    lines = textwrap.wrap(text or "", _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _table_names(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if table_of(field.annotation)]


# -- effective values -----------------------------------------------------------------------------


def effective(loaded: Loaded) -> str:
    """The values in force as TOML, each with a comment that says where it came from."""
    values = loaded.settings.model_dump(mode="json")
    tables = {name: values.pop(name) for name in _table_names(Settings)}
    # What is left are the options that stand in no table; in TOML they come first.
    sections = [_section("", values, (), loaded)]
    for name, content in tables.items():
        sections += _sections(name, content, loaded)
    return "\n".join(sections)


def _sections(name: str, content: Any, loaded: Loaded) -> Iterator[str]:
    table = Settings.model_fields[name].annotation
    if is_table(table):
        inner_tables = {key: content.pop(key) for key in _table_names(table) if content[key] is not None}
        yield _section(f"[{name}]", content, (name,), loaded)
        for key, inner in inner_tables.items():
            yield _section(f"[{name}.{key}]", inner, (name, key), loaded)
    elif isinstance(content, dict):
        for key, inner in content.items():
            yield _section(f"[{name}.{toml.key(key)}]", inner, (name, key), loaded)
    else:
        for index, inner in enumerate(content):
            yield _section(f"[[{name}]]", inner, (name, index), loaded)


def _section(header: str, content: dict[str, Any], path: Path, loaded: Loaded) -> str:
    """One table: its header and its values, their sources in a column."""
    rows = [
        (f"{name} = {toml.value(value)}", loaded.source((*path, name)))
        for name, value in content.items()
        if value is not None and value != HIDDEN
    ]
    column = max((len(row) for row, _ in rows if len(row) <= _COLUMN), default=0)
    lines = [f"{row:{column}}  # {source}" for row, source in rows]
    # TOML has no null.
    lines += [f"# {name} is not set" for name, value in content.items() if value is None]
    lines += [
        f"# {name} is set, and not shown  # {loaded.source((*path, name))}"
        for name, value in content.items()
        if value == HIDDEN
    ]
    return "".join(f"{line}\n" for line in ([header] if header else []) + lines)


# -- schema ---------------------------------------------------------------------------------------


def schema() -> str:
    """The JSON Schema (draft 2020-12) of configuration files, for editors and checks before a roll-out."""
    described = Settings.model_json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glance-shim",
        "description": "Configuration of glance-shim, as TOML; units are told in the descriptions.",
    }
    return json.dumps(described | head, indent=2) + "\n"
