"""Log lines: one a record whatever a client writes into it, for machines as JSON, for people as text."""

import io
import json
import logging
import sys

import pytest

from shim.observe.logs import JsonFormatter, TextFormatter, configure_logs, own_lines_kept
from tests.support.series import series

# Each would begin a new line, or a new command, for some terminal or collector.
CONTROLS = [
    *(chr(code) for code in range(0x20)),
    *(chr(code) for code in range(0x7F, 0xA0)),
    "\u2028",
    "\u2029",
    "\u202e",
    "\ufeff",
]
WORDS = [
    "plain",
    'with "quotes" and \\ back\\slashes',
    "\u00e4\u4f60\U0001f600",
    "\udcff",
    "a\r\nb",
    "\x1b[31mred",
    *CONTROLS,
]


def record(
    message: str = "told", *args: object, fields: object = None, error: bool = False
) -> logging.LogRecord:
    info = None
    if error:
        try:
            int("broken")
        except ValueError:
            info = sys.exc_info()
    made = logging.LogRecord("shim.test", logging.WARNING, __file__, 1, message, args, info)
    made.created = 1_700_000_000.25
    if fields is not None:
        made.fields = fields
    return made


# -- JSON -----------------------------------------------------------------------------------------


@series("word", WORDS)
def test_json_is_one_line_of_ascii_that_parses(word):
    line = JsonFormatter().format(record("path %s", word, fields={"client": word, "phases": {"wait": 0.5}}))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["message"] == f"path {word}"
    assert entry["client"] == word
    assert entry["phases"] == {"wait": 0.5}


def test_json_says_when_how_grave_and_who():
    entry = json.loads(JsonFormatter().format(record()))
    assert entry == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "shim.test",
        "message": "told",
    }


def test_json_holds_the_traceback():
    entry = json.loads(JsonFormatter().format(record(error=True)))
    assert entry["traceback"].startswith("Traceback")
    assert entry["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'broken'")


def test_json_tells_also_what_json_does_not_know():
    entry = json.loads(JsonFormatter().format(record(fields={"raw": b"\xff", "kind": ValueError})))
    assert entry["raw"] == "b'\\xff'"
    assert entry["kind"] == "<class 'ValueError'>"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_fields_that_are_none_of_ours_are_left_alone(formatter):
    assert "foreign" not in formatter.format(record(fields="foreign"))


# -- text -----------------------------------------------------------------------------------------


@series("word", WORDS)
@series("place", ["message", "client", "request_id", "image", "mode", "end", "detail"])
def test_text_is_one_printable_line(word, place):
    made = record("path %s", word) if place == "message" else record(fields={place: word})
    line = TextFormatter().format(made)
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_text_keeps_what_can_be_read():
    line = TextFormatter().format(record("path %s", "/\u00e4", fields={"detail": 'a \\ "b" \u4f60'}))
    assert line == '22:13:20 warning path /\u00e4 detail=a \\ "b" \u4f60'


def test_text_tells_what_is_worth_reading():
    fields = {
        "request_id": "req-1",
        "client": "::1",
        "project": "p",
        "image": "",
        "mode": None,
        "received": 6,
        "sent": 0,
        "seconds": 0.5,
        "end": "ok",
        "status": 200,
    }
    line = TextFormatter().format(record("GET / 200", fields=fields))
    assert line == "22:13:20 warning GET / 200 request_id=req-1 client=::1 received=6 seconds=0.5 end=ok"


def test_text_holds_the_traceback_below():
    lines = TextFormatter().format(record(error=True)).splitlines()
    assert lines[0] == "22:13:20 warning told"
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-1] == "  ValueError: invalid literal for int() with base 10: 'broken'"


@series("word", WORDS)
def test_an_exception_writes_no_line_that_looks_like_ours(word):
    forged = "22:13:20 warning forged"
    made = record()
    made.exc_info = (ValueError, ValueError(f"bad {word}\n{forged}"), None)
    lines = TextFormatter().format(made).split("\n")
    assert f"  {forged}" in lines
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(line.isprintable() for line in lines)


# -- where it goes --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        pytest.param("json", io.StringIO, True, id="json"),
        pytest.param("json", Terminal, True, id="json on a terminal"),
        pytest.param("text", io.StringIO, False, id="text"),
        pytest.param("auto", io.StringIO, True, id="auto"),
        pytest.param("auto", Terminal, False, id="auto on a terminal"),
    ],
)
def test_the_form_follows_the_stream(form, stream, is_json):
    out = stream()
    configure_logs(form, "info", out)
    logging.getLogger("shim.test").info("told")
    (line,) = out.getvalue().splitlines()
    assert line.startswith("{") is is_json


def test_levels():
    out = io.StringIO()
    configure_logs("text", "info", out)
    logging.getLogger("shim.test").debug("unheard")
    logging.getLogger("httpx").info("unheard")
    logging.getLogger("httpx").warning("heard")
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["heard"]
    configure_logs("text", "error", out)
    logging.getLogger("shim.test").warning("unheard")
    logging.getLogger("uvicorn.error").warning("unheard")
    assert "unheard" not in out.getvalue()
    # Who changed what is written whatever the level, and never as a line of somebody's own.
    logging.getLogger("shim.audit").info("POST %s by %s: %d", "/x\nforged", "uid 0", 202)
    assert out.getvalue().splitlines()[-1].endswith("POST /x\\nforged by uid 0: 202")


def test_a_second_configuration_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    configure_logs("text", "info", first)
    configure_logs("text", "info", second)
    logging.getLogger("shim.test").info("told")
    assert first.getvalue() == ""
    assert second.getvalue().count("told") == 1


def test_standard_error_is_where_logs_go(capsys):
    configure_logs("json", "info")
    logging.getLogger("shim.test").info("told")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["message"] == "told"


# -- beside an application in this process --------------------------------------------------------


def take_root(root: logging.Logger, out: io.StringIO) -> None:
    """As oslo.log does."""
    root.handlers[:] = [logging.StreamHandler(out)]
    root.setLevel(logging.ERROR)


def add_to_root(root: logging.Logger, out: io.StringIO) -> None:
    root.addHandler(logging.StreamHandler(out))


def switch_off(_root: logging.Logger, _out: io.StringIO) -> None:
    """As Django's and Flask's dictConfig does."""
    for name in ("shim.test", "uvicorn.error", "asyncio"):
        logging.getLogger(name).disabled = True


@pytest.mark.parametrize("act", [take_root, add_to_root, switch_off])
def test_our_lines_stay_ours_and_come_once(act):
    ours, theirs = io.StringIO(), io.StringIO()
    configure_logs("text", "info", ours)
    for name in ("shim.test", "uvicorn.error", "asyncio"):
        logging.getLogger(name)
    with own_lines_kept():
        act(logging.getLogger(), theirs)
    logging.getLogger("shim.test").info("from us")
    logging.getLogger("uvicorn.error").warning("from below us")
    logging.getLogger("asyncio").info("unheard")
    assert [line.split(" ", 1)[1] for line in ours.getvalue().splitlines()] == [
        "info    from us",
        "warning from below us",
    ]
    assert theirs.getvalue() == ""


def test_their_lines_go_where_they_say():
    ours, theirs = io.StringIO(), io.StringIO()
    configure_logs("text", "info", ours)
    with own_lines_kept():
        take_root(logging.getLogger(), theirs)
    logging.getLogger("glance").error("from them")
    assert (ours.getvalue(), theirs.getvalue()) == ("", "from them\n")


def test_where_they_say_nothing_their_lines_are_in_our_form():
    ours = io.StringIO()
    configure_logs("text", "info", ours)
    with own_lines_kept():
        pass
    logging.getLogger("glance").info("from them")
    assert ours.getvalue().endswith("info    from them\n")


def test_where_nothing_is_configured_nothing_changes():
    logger = logging.getLogger("shim")
    before = (logger.handlers[:], logger.propagate, logger.level)
    with own_lines_kept():
        pass
    assert (logger.handlers, logger.propagate, logger.level) == before
