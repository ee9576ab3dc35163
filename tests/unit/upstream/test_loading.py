"""Importing an application: what is found, every way it is not, and what stays as it was."""

import gc
import itertools
import logging
import sys

import pytest

from shim.errors import NoUpstream
from shim.upstream.loading import freeze_heap, load_application

NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module, and give its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(source):
        names.append(f"application_{next(NUMBERS)}")
        (tmp_path / f"{names[-1]}.py").write_text(source)
        return names[-1]

    yield write
    for name in names:
        sys.modules.pop(name, None)


def fault_of(target):
    with pytest.raises(NoUpstream) as raised:
        load_application(target)
    return raised.value


def test_a_function(module):
    name = module("def application(environ, start_response):\n    return [b'x']\n")
    assert load_application(f"{name}:application")({}, None) == [b"x"]


def test_an_attribute_of_an_attribute(module):
    name = module("class Made:\n    class inner:\n        application = print\n")
    assert load_application(f"{name}:Made.inner.application") is print


def test_it_is_imported_once(module):
    name = module("import itertools\ncount = itertools.count()\nmade = next(count)\ndef one(): pass\n")
    assert load_application(f"{name}:one") is load_application(f"{name}:one")


@pytest.mark.parametrize(
    ("source", "path", "detail"),
    [
        ("", "application", "there is no 'application' in '{name}'"),
        ("class Made: pass", "Made.application", "there is no 'application' in '{name}'"),
        ("application = 5", "application", "no application, but of type 'int'"),
        ("raise RuntimeError('no database')", "x", "cannot be imported: RuntimeError: no database"),
        ("raise RuntimeError('two\\n  lines')", "x", "cannot be imported: RuntimeError: two lines"),
        ("raise RuntimeError", "x", "cannot be imported: RuntimeError"),
        ("raise SystemExit('no configuration')", "x", "cannot be imported: SystemExit: no configuration"),
        ("raise GeneratorExit", "x", "cannot be imported: GeneratorExit"),
        (
            "import no_such_thing",
            "x",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("x = = 1", "x", "cannot be imported: SyntaxError: invalid syntax ({name}.py, line 1)"),
    ],
)
def test_faults(module, source, path, detail):
    name = module(source)
    error = fault_of(f"{name}:{path}")
    assert error.detail == detail.format(name=name)
    assert error.for_operator.startswith(f"wsgi:{name}:{path}: {error.detail}")


@pytest.mark.parametrize("name", ["no_such_thing", "no_such_thing.inner.most", "shim.no_such_thing"])
def test_a_module_that_is_not_there(name):
    error = fault_of(f"{name}:application")
    assert error.detail.endswith(
        f"; install it where {sys.executable} finds it, or name its directory in PYTHONPATH"
    )


def test_the_operator_sees_where(module):
    name = module("def begin():\n    raise RuntimeError('no database')\nbegin()\n")
    first, *trace = fault_of(f"{name}:application").for_operator.splitlines()
    assert first == f"wsgi:{name}:application: cannot be imported: RuntimeError: no database"
    # Of the application alone: neither ours nor the import system's calls help anybody.
    assert [line.split(", ")[1:] for line in trace if line.startswith("  File")] == [
        ["line 3", "in <module>"],
        ["line 2", "in begin"],
    ]


def test_of_many_calls_the_last(module):
    name = module("def deeper(depth):\n    return deeper(depth - 1) if depth else 1 / 0\ndeeper(100)\n")
    trace = fault_of(f"{name}:application").for_operator.splitlines()
    assert len(trace) < 30
    assert "ZeroDivisionError" in trace[0]


def test_an_interruption_stays_one(module):
    name = module("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_application(f"{name}:x")


def test_hooks_are_put_back(module):
    before = sys.excepthook
    name = module("import sys\nsys.excepthook = print\ndef application(): pass\n")
    load_application(f"{name}:application")
    assert sys.excepthook is before


def test_loggers_of_ours_stay_on(module):
    logging.getLogger("shim.test.loading")
    name = module(
        # As logging.config.dictConfig does to every logger that it is not told of.
        "import logging\nlogging.getLogger('shim.test.loading').disabled = True\ndef application(): pass\n"
    )
    load_application(f"{name}:application")
    assert not logging.getLogger("shim.test.loading").disabled


def test_what_is_there_is_not_collected_again():
    gc.unfreeze()
    try:
        freeze_heap()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
