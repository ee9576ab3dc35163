"""Shared by all tests: helpers of tests.support say what they compared when an assertion fails."""

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support")


# What tests that share it are parametrized by: a rig of a kind and way, or a hosting of Glance.
SHARED = ("case", "hosting", "running_chain")

# Those groups with outside servers that take longest by the clock, the longest first: 120 to 20 s. They begin
# before the others, for whoever begins one late goes on with it alone.
LONGEST = (
    "uwsgi-unix",
    "gunicorn",
    "mod-wsgi-daemon",
    "test_fronts_glance.py",
    "test_uwsgi_application.py",
    "test_tokens.py",
    "test_glance_refusals.py",
    "test_in_process.py",
    "mod-wsgi-embedded",
    "uwsgi-http-router",
    "test_page.py",
    "test_manual.py",
    "gunicorn-gthread",
    "test_imports.py",
    "mod-wsgi-daemon-chunked",
    "test_live.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let the collector of garbage pass over what stays to the end: thousands of tests, and all they import.

    Some tests ask it to look at everything, to see that nothing was left behind.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# How a module says that all of its tests need outside servers.
NEEDS_SERVERS = "\npytestmark = pytest.mark.servers\n"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where no servers are wanted do not even read such modules: each process would load all they import."""
    if config.option.markexpr.startswith("not servers") and collection_path.match("test_*.py"):
        return NEEDS_SERVERS in collection_path.read_text("utf-8") or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares servers, where several processes run tests: a case, or a module.

    Each server is then started once, not once in each process.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    # xdist's own order is by the number of tests, and some of the longest groups have three.
    places = {group: place for place, group in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(_group(item), len(LONGEST)))


def _group(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return next((str(params[name]) for name in SHARED if name in params), item.path.name)


# Whose handlers, level and propagation the program changes when it starts to log.
LOGGERS = [
    logging.getLogger(name)
    for name in (
        "",
        "shim",
        "shim.access",
        "shim.audit",
        "uvicorn",
        "uvicorn.error",
        "httpx",
        "httpcore",
        "asyncio",
    )
]


@pytest.fixture(autouse=True)
def _logging_put_back() -> Iterator[None]:
    """Commands that run in this process set up its logging: no test is to find what another has left."""
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in LOGGERS]
    yield
    for logger, (handlers, level, propagate) in zip(LOGGERS, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        if logger.level != level:
            logger.setLevel(level)
