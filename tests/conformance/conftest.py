"""Fixtures of the conformance tests: the case a test runs over, and the rigs it asks for.

Tests of one case run one after the other, so that only its shims are alive at a time.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.rig import CASES, Rig, RigPool, can_differ

HERE = f"{Path(__file__).parent}/"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over every case, or its module's ``CASES``, unless it chose its own with ``only``."""
    marked = any("case" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "case" in metafunc.fixturenames and not marked:
        metafunc.parametrize("case", getattr(metafunc.module, "CASES", CASES))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave all cases to ``make test`` but the one that a module names by ``FAST``, if it does."""
    chosen = getattr(getattr(item, "module", None), "FAST", None)
    if chosen is not None and _case(item) not in ("", chosen):
        item.add_marker(pytest.mark.more)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by case, and inside a case leave the order as it is written; leave out what cannot differ."""
    items[:] = [item for item in items if not _is_ours(item) or _can_differ(item)]
    places = [place for place, item in enumerate(items) if _is_ours(item)]
    ours = sorted((items[place] for place in places), key=_case)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _is_ours(item: pytest.Item) -> bool:
    # As text: a path takes ten times as long, for thousands of tests in each process.
    return str(item.path).startswith(HERE)


def _can_differ(item: pytest.Item) -> bool:
    return can_differ(item.path.stem.removeprefix("test_"), _case(item))


def _case(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("case", "") if callspec else ""


@pytest.fixture(scope="package")
def pool() -> Iterator[RigPool]:
    """All rigs; ended where other tests of the same process follow: they may count threads or descriptors."""
    rigs = RigPool()
    yield rigs
    touched = rigs.trap.touched
    rigs.close()
    assert not touched, "a shim followed a proxy variable"


@pytest.fixture
def rig_with(pool: RigPool, case: str) -> Iterator[Callable[..., Rig]]:
    """Give rigs with settings of their own, over this test's case."""
    used: list[Rig] = []

    def give(settings: dict[str, Any] | None = None, **options: Any) -> Rig:
        rig = pool.rig(case, settings, **options)
        if rig not in used:  # a row of a series before this one may have had it
            used.append(rig)
        return rig

    yield give
    for rig in used:
        try:
            rig.settle()
        except BaseException:
            pool.discard(rig)
            raise


@pytest.fixture
def rig(rig_with: Callable[..., Rig]) -> Rig:
    """The shared rig: defaults, body mode spool."""
    return rig_with()


@pytest.fixture
def gate(rig_with: Callable[..., Rig]) -> Iterator[threading.Event]:
    """A gate that held replies wait for; opened at the test's end at the latest."""
    event = threading.Event()
    yield event
    event.set()
