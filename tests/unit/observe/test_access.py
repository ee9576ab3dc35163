"""The line of a request: its JSON by hand is the module's, and what ends together is written together."""

import asyncio
import io
import json
import logging
import threading
import weakref
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.observe.access import AccessLine
from shim.observe.journal import Phase, Record
from shim.observe.lines import LineHandler, tell
from shim.observe.logs import JsonFormatter, TextFormatter, configure_logs
from shim.observe.trace import Trace, TraceContext


def record_of(path="/v2/images", **others):
    return Record("req-1", "GET", path, "192.0.2.1", 0.0, **others)


def line_of(path="/v2/images", *, seconds=0.25, **others):
    return AccessLine(record_of(path, **others), seconds)


# -- its JSON -------------------------------------------------------------------------------------

TEXTS = (
    *("id", "method", "path", "client", "project", "image", "route", "mode", "upstream", "server", "code"),
    *("detail", "upstream_request_id"),
)
COUNTS = ("status", "received", "sent")
# Half of them have no more than four decimals, and so end in zeros where they are formatted.
SECONDS = st.floats(0, 1e12) | st.floats(0, 2) | st.integers(0, 10**14).map(lambda count: count / 10_000)
SHORT = SECONDS.filter(lambda seconds: seconds < 1e9)
VALUES = st.fixed_dictionaries(
    dict.fromkeys(TEXTS, st.text()) | dict.fromkeys(COUNTS, st.integers(0)),
    optional={"phases": st.dictionaries(st.sampled_from(Phase), SHORT)},
)
TRACES = st.none() | st.builds(Trace, st.builds(TraceContext, st.text(), st.text(), st.just(1)))
CREATED = 1_700_000_000.25


def by_the_module(record, seconds, created=CREATED):
    """The line as the ``json`` module writes what logging's record of it says."""
    line = AccessLine(record, seconds)
    line.created = created
    return JsonFormatter().format(line)


@given(VALUES, SECONDS, TRACES, st.floats(0, 4e9))
def test_its_json_is_the_modules_own(values, seconds, trace, created):
    record = Record(**values, started=0.0, trace=trace)
    line = JsonFormatter().format_request(record, seconds, created)
    assert line == by_the_module(record, seconds, created)
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert told["message"] == f"{record.method} {record.path} {record.status}"
    assert (told["seconds"], told["phases"]) == (
        round(seconds, 4),
        {phase: round(stay, 4) for phase, stay in record.phases.items()},
    )


@given(st.floats() | st.integers())
def test_whatever_a_request_took(seconds):
    """Its phases are parts of it, and as long at most."""
    record = record_of(phases={Phase.WAIT: seconds})
    line = JsonFormatter().format_request(record, seconds, CREATED)
    assert line == by_the_module(record, seconds)


@pytest.mark.parametrize("name", [*TEXTS, "received", "sent"])
@pytest.mark.parametrize("value", [b"\xff", None, True, 2.5, Phase.WAIT, ("a", 1), ValueError], ids=repr)
def test_a_value_of_another_kind_costs_no_line(name, value):
    record = record_of()
    setattr(record, name, value)
    assert JsonFormatter().format_request(record, 0.25, CREATED) == by_the_module(record, 0.25)


@pytest.mark.parametrize("status", [True, 2.5, HTTPStatus.CREATED], ids=repr)
def test_a_status_of_another_kind(status):
    record = record_of(status=status)
    assert JsonFormatter().format_request(record, 0.25, CREATED) == by_the_module(record, 0.25)


def test_without_phases():
    assert '"phases": {}, ' in JsonFormatter().format_request(record_of(), 0.25, CREATED)


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


# -- which way they go ----------------------------------------------------------------------------


@pytest.fixture(name="logger")
def logger_fixture():
    """A logger below another, with nothing above them."""
    above = logging.Logger("above", logging.INFO)  # noqa: LOG001 - apart from all others
    logger = logging.Logger("shim.access", logging.INFO)  # noqa: LOG001
    logger.parent = above
    return logger


class Noting(logging.Handler):
    """Somebody else's handler."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def json_handler(log):
    handler = LineHandler(log)
    handler.setFormatter(JsonFormatter())
    return handler


def test_a_line_that_only_we_get_needs_no_record_of_loggings(logger, log, monkeypatch):
    logger.parent.addHandler(json_handler(log))
    monkeypatch.setattr(logger, "handle", None)
    tell(logger, record_of("/1", status=204), 0.25)
    (line,) = log.writes
    assert line.endswith("\n")
    assert (json.loads(line)["message"], json.loads(line)["seconds"]) == ("GET /1 204", 0.25)


def refuse(_record):
    return False


DETOURS = [
    # what is changed, whether our handler still gets the line
    pytest.param(lambda logger: logger.addHandler(Noting()), True, id="another handler"),
    pytest.param(lambda logger: logger.parent.handlers.append(Noting()), True, id="another one beside ours"),
    pytest.param(lambda logger: logger.addFilter(refuse), False, id="a filter of the logger"),
    pytest.param(lambda logger: logger.parent.handlers[0].addFilter(refuse), False, id="one of the handler"),
    pytest.param(lambda logger: logger.parent.handlers[0].setLevel("ERROR"), False, id="a level"),
    pytest.param(lambda logger: setattr(logger, "propagate", False), False, id="no way up"),
    pytest.param(lambda logger: logger.parent.handlers.clear(), False, id="nobody"),
    pytest.param(
        lambda logger: logger.parent.handlers[0].setFormatter(TextFormatter()), True, id="another form"
    ),
    pytest.param(
        lambda logger: logger.parent.handlers[0].setFormatter(logging.Formatter("%(fields)s")),
        True,
        id="a foreign formatter",
    ),
]


@pytest.mark.parametrize(("change", "is_written"), DETOURS)
def test_in_every_other_case_a_line_goes_loggings_way(logger, log, change, is_written, monkeypatch):
    monkeypatch.setattr(logging, "lastResort", None)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.parent.addHandler(json_handler(log))
    change(logger)
    handled = []
    real = logger.handle
    monkeypatch.setattr(logger, "handle", lambda line: (handled.append(line), real(line)))
    tell(logger, record_of(), 0.25)
    assert [line.fields["seconds"] for line in handled] == [0.25]
    assert len(log.writes) == is_written
    noting = [one for one in logger.handlers + logger.parent.handlers if isinstance(one, Noting)]
    assert all(one.records == handled for one in noting)


def test_both_ways_keep_one_order(logger, log):
    logger.parent.addHandler(json_handler(log))

    async def scene():
        tell(logger, record_of("/1"), 0.25)
        logger.handle(line_of("/2"))
        logger.handle(other("The disk is full."))
        tell(logger, record_of("/3"), 0.25)
        assert len(log.writes) == 2
        await asyncio.sleep(0)

    asyncio.run(scene())
    lines = "".join(log.writes).splitlines()
    assert [json.loads(line)["message"] for line in lines] == [
        *("GET /1 0", "GET /2 0", "The disk is full.", "GET /3 0")
    ]


def test_lines_of_other_threads_lose_none(logger, log):
    """Access lines are kept without the lock that others write with."""
    handler = json_handler(log)
    logger.parent.addHandler(handler)
    warned = threading.Thread(target=lambda: [handler.handle(other("Busy.")) for _ in range(300)])

    async def scene():
        warned.start()
        for number in range(300):
            tell(logger, record_of(f"/{number}"), 0.25)
            if number % 7 == 0:
                await asyncio.sleep(0)
        warned.join()

    asyncio.run(scene())
    messages = [json.loads(line)["message"] for line in "".join(log.writes).splitlines()]
    assert [text for text in messages if text != "Busy."] == [f"GET /{number} 0" for number in range(300)]
    assert messages.count("Busy.") == 300


def test_a_request_whose_line_is_not_written_is_complained_of(logger, log, capsys):
    logger.parent.addHandler(json_handler(log))
    log.error = OSError(28, "full")
    tell(logger, record_of("/1", status=204), 0.25)
    told = capsys.readouterr().err
    assert "full" in told
    assert "('GET', '/1', 204)" in told


def test_a_request_whose_line_cannot_be_formatted_ends_nothing(logger, log, capsys):
    logger.parent.addHandler(json_handler(log))
    tell(logger, record_of(status="none"), 0.25)
    assert "TypeError" in capsys.readouterr().err
    assert log.writes == []


def test_the_line_of_the_shims_own_logger_is_short_in_json_only(log):
    configure_logs("json", "info", log)
    tell(logging.getLogger("shim.access"), record_of(), 0.25)
    assert json.loads(log.writes[0])["request_id"] == "req-1"
    configure_logs("text", "info", log)
    tell(logging.getLogger("shim.access"), record_of(), 0.25)
    assert log.writes[1].endswith("GET /v2/images 0 request_id=req-1 client=192.0.2.1 seconds=0.25 end=ok\n")
