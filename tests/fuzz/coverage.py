"""Which lines of ``shim/wire`` the kept inputs reach: each is run once more, watched by the interpreter."""

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import shim.wire
from tests.fuzz.targets import TARGETS


def measure(inputs: Mapping[str, Iterable[bytes]]) -> dict[str, tuple[int, int]]:
    """By module: lines of its functions reached, and how many there are.

    Args:
        inputs: By target.
    """
    lines = {module.__file__ or "": set(_lines_of(module)) for module in _modules()}
    reached: dict[str, set[int]] = {file: set() for file in lines}

    def follow(frame: FrameType, event: str, _value: Any) -> Any:
        seen = reached.get(frame.f_code.co_filename)
        if seen is None:
            return None
        if event == "line":
            seen.add(frame.f_lineno)
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        for name, given in inputs.items():
            for data in given:
                TARGETS[name](data)
    finally:
        sys.settrace(before)
    return {
        Path(file).name: (len(reached[file] & known), len(known)) for file, known in lines.items() if known
    }


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(shim.wire.__path__):
        yield importlib.import_module(f"shim.wire.{found.name}")


def _lines_of(module: ModuleType) -> Iterator[int]:
    """The lines of a module's functions; what runs at its import proves nothing."""
    assert module.__file__ is not None
    source = Path(module.__file__)
    pending = _constants(compile(source.read_text(), source, "exec"))
    while pending:
        code = pending.pop()
        pending += _constants(code)
        if code.co_flags & 0x2:  # CO_NEWLOCALS: a function, and no class body
            yield from (line for _, _, line in code.co_lines() if line and line != code.co_firstlineno)


def _constants(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]
