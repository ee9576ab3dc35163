"""The line of a request: its JSON by hand is the module's, and what ends together is written together."""

import asyncio
import io
import json
import logging
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.observe.access import AccessLine
from shim.observe.journal import Phase, Record
from shim.observe.lines import LineHandler
from shim.observe.logs import JsonFormatter

ANY = st.text()
SECONDS = st.floats(0, 1e9)


def line_of(path="/v2/images", *, seconds=0.25, **others):
    record = Record("req-1", "GET", path, "192.0.2.1", 0.0)
    for name, value in others.items():
        setattr(record, name, value)
    return AccessLine(record, seconds)


@given(ANY, ANY, st.integers(0), SECONDS, st.dictionaries(st.sampled_from(Phase), SECONDS))
def test_its_json_is_the_modules_own(path, detail, received, seconds, phases):
    line = line_of(path, seconds=seconds, detail=detail, received=received, phases=phases)
    assert "{" + line.fields_as_json() + "}" == json.dumps(line.fields)
    told = json.loads(JsonFormatter().format(line))
    assert told["path"] == path
    assert told["message"] == line.getMessage()


def test_a_value_of_another_kind_costs_no_line():
    line = line_of(mode=b"\xff", image=None, received=True)
    told = json.loads(JsonFormatter().format(line))
    assert (told["mode"], told["image"], told["received"]) == (r"b'\xff'", None, True)


# -- how lines are written ------------------------------------------------------------------------


class Log(io.StringIO):
    """A stream that keeps its writes apart, and can break."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.error = None

    def write(self, text):
        if self.error is not None:
            raise self.error
        self.writes.append(text)
        return len(text)

    def flush(self):
        if self.error is not None:
            raise self.error


@pytest.fixture(name="log")
def log_fixture():
    return Log()


@pytest.fixture(name="handler")
def handler_fixture(log):
    handler = LineHandler(log)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def other(text):
    return logging.LogRecord("shim", logging.WARNING, "", 0, text, (), None)


def test_what_ends_in_one_turn_is_written_at_its_end_at_once(handler, log):
    async def scene():
        handler.handle(line_of("/1"))
        handler.handle(line_of("/2"))
        assert log.writes == []
        await asyncio.sleep(0)
        assert log.writes == ["GET /1 0\nGET /2 0\n"]
        handler.handle(line_of("/3"))
        await asyncio.sleep(0)
        assert log.writes[1:] == ["GET /3 0\n"]

    asyncio.run(scene())


def test_lines_keep_their_order(handler, log):
    async def scene():
        handler.handle(line_of("/1"))
        handler.handle(other("The disk is full."))
        handler.handle(line_of("/2"))
        await asyncio.sleep(0)

    asyncio.run(scene())
    assert "".join(log.writes) == "GET /1 0\nThe disk is full.\nGET /2 0\n"


def test_without_a_loop_a_line_is_written_at_once(handler, log):
    handler.handle(line_of("/1"))
    assert log.writes == ["GET /1 0\n"]


def test_what_the_loop_does_not_come_to_is_written_at_the_processs_end(handler, log):
    async def scene():
        handler.handle(line_of("/1"))
        # As for a loop that is stopped in this very turn.
        assert log.writes == []
        logging.shutdown([weakref.ref(handler)])
        assert log.writes == ["GET /1 0\n"]
        await asyncio.sleep(0)
        assert log.writes == ["GET /1 0\n"]

    asyncio.run(scene())


def test_a_loop_that_ended_too_early_keeps_no_later_line(handler, log):
    stopped, later = asyncio.new_event_loop(), asyncio.new_event_loop()
    stopped.call_soon(handler.handle, line_of("/1"))
    stopped.stop()
    stopped.run_forever()
    assert log.writes == []
    later.call_soon(handler.handle, line_of("/2"))
    later.call_soon(later.call_soon, later.stop)
    later.run_forever()
    assert log.writes == ["GET /1 0\nGET /2 0\n"]
    stopped.close()
    later.close()


@pytest.mark.parametrize(
    "error", [BrokenPipeError("gone"), ValueError("closed"), OSError(28, "full")], ids=repr
)
def test_a_log_that_cannot_be_written_ends_nothing(handler, log, error, capsys):
    async def scene():
        log.error = error
        handler.handle(line_of("/1"))
        await asyncio.sleep(0)
        assert type(error).__name__ in capsys.readouterr().err
        log.error = None
        handler.handle(line_of("/2"))
        await asyncio.sleep(0)
        assert log.writes == ["GET /2 0\n"]

    faults = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        await scene()

    asyncio.run(watched())
    assert faults == []


def test_a_line_that_cannot_be_formatted_ends_nothing(handler, log, capsys):
    handler.setFormatter(logging.Formatter("%(nothing)s"))
    handler.handle(line_of("/1"))
    assert "nothing" in capsys.readouterr().err
    assert log.writes == []
