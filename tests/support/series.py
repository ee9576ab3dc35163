"""Tables of which each row is a line of one test: ``parametrize`` for rows that take next to no time.

A test of its own costs pytest some milliseconds, and a rig as many again to come to rest; with thousands of
rows that was most of the tests' time. All rows run, also after one that failed; each failure names its row.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import pytest

OUTCOMES = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""What ends a row but not the table. A skipped row is a failure: it would hide behind the others."""


@runtime_checkable
class Renewable(Protocol):
    """A fixture that has to forget the row before."""

    def begin(self) -> None:
        """Forget what earlier tests, or rows, did; fail for what they should not have done."""
        ...


def series(
    names: str | tuple[str, ...], rows: Iterable[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call the test for each row, which ``pytest.param`` may name.

    What else it takes are fixtures, made once for all rows. As with ``parametrize``, two of them on one test
    multiply.
    """
    keys = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    table = [_labelled(keys, row) for row in rows]
    assert table, "a series without rows proves nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            faults = list(_faults(test, table, fixtures))
            if faults:
                raise BaseExceptionGroup(f"{len(faults)} faults in {len(table)} rows", faults)

        # What pytest sees: the fixtures alone.
        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in keys]
        assert len(left) == len(signature.parameters) - len(keys), f"the test does not take all of {keys}"
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return decorate


def _labelled(keys: tuple[str, ...], row: Any) -> tuple[str, dict[str, Any]]:
    parameters = row if _is_param(row) else pytest.param(*(row if len(keys) > 1 else (row,)))
    assert not parameters.marks, "a row cannot be marked: give it a test of its own"
    values = dict(zip(keys, parameters.values, strict=True))
    return parameters.id or ", ".join(repr(value)[:60] for value in values.values()), values


def _is_param(row: Any) -> bool:
    return hasattr(row, "marks") and hasattr(row, "values")


def _faults(
    test: Callable[..., None], table: list[tuple[str, dict[str, Any]]], fixtures: dict[str, Any]
) -> Iterator[BaseException]:
    renewals = [fixture.begin for fixture in fixtures.values() if isinstance(fixture, Renewable)]
    for label, values in table:
        # After a row, not before the next: what it left behind is its own fault.
        for step in (functools.partial(test, **fixtures, **values), *renewals):
            try:
                step()
            except OUTCOMES as fault:
                fault.add_note(f"in the row: {label}")
                yield fault
