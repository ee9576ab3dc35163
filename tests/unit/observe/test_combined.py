"""Access lines in Apache's form: whatever a client writes stays one line with the fields that Apache has."""

import io
import logging
import re
import time

import pytest

from shim.observe.combined import CombinedFormatter, _apache_time, escape
from shim.observe.counters import Counters
from shim.observe.head import RequestHead
from shim.observe.journal import Journal
from shim.observe.logs import configure_logs
from tests.support.series import series

HEAD = RequestHead(b"/v2/images?limit=1", "1.1", "http", None, b"http://h/", b"curl/8")
FIELDS = {"client": "192.0.2.1", "method": "GET", "status": 200, "sent": 42, "seconds": 2.5}
# What log readers know the format by: logstash's COMBINEDAPACHELOG, in short.
COMBINED = re.compile(
    r"(?P<host>\S+) (\S+) (\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}|-) (?P<bytes>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)


def line_of(head=HEAD, created=1_700_000_002.25, **fields):
    record = logging.LogRecord("shim.access", logging.INFO, __file__, 1, "", (), None)
    record.fields, record.head, record.created = {**FIELDS, **fields}, head, created
    return CombinedFormatter().format(record)


@pytest.mark.parametrize(
    ("zone", "told"),
    [("UTC", "14/Nov/2023:22:13:19 +0000"), ("Asia/Kolkata", "15/Nov/2023:03:43:19 +0530")],
)
def test_a_line_tells_the_local_time_of_the_requests_beginning(monkeypatch, zone, told):
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            _apache_time.cache_clear()
            line = line_of()
    finally:
        time.tzset()
        _apache_time.cache_clear()
    assert line == f'192.0.2.1 - - [{told}] "GET /v2/images?limit=1 HTTP/1.1" 200 42 "http://h/" "curl/8"'


def test_what_is_not_there_is_a_dash():
    line = line_of(HEAD._replace(referer=b"", user_agent=b""), status=0, sent=0)
    assert line.endswith(' HTTP/1.1" - - "-" "-"')


@series(
    ("value", "written"),
    [
        (b'a "b" \\', 'a \\"b\\" \\\\'),
        (b"\r\n\t\x0b\x08", "\\r\\n\\t\\v\\b"),
        (b"\x00\x1b\x7f\x0c", "\\x00\\x1b\\x7f\\x0c"),
        ("ä".encode(), "\\xc3\\xa4"),
        (b"~ !", "~ !"),
    ],
)
def test_values_are_escaped_as_apache_does(value, written):
    assert escape(value) == written


def test_no_octet_breaks_the_line():
    for octet in range(256):
        hostile = b"a" + bytes([octet]) + b'" 200 1 "-'
        line = line_of(HEAD._replace(target=hostile, referer=hostile, user_agent=hostile))
        assert line.isascii(), octet
        assert line.isprintable(), octet
        found = COMBINED.fullmatch(line)
        assert (found["status"], found["bytes"]) == ("200", "42"), octet


def test_access_lines_go_where_they_can_be_read_apart():
    own, combined = io.StringIO(), io.StringIO()
    for told in ([0, 1], [1, 1]):
        configure_logs("json", "info", own, combined=combined if told == [0, 1] else None)
        with Journal(Counters()).record(id="req-1", method="GET", path="/", client="::1") as record:
            record.head, record.status = HEAD, 204
        assert [own.getvalue().count("\n"), combined.getvalue().count("\n")] == told
    assert COMBINED.fullmatch(combined.getvalue().rstrip())["host"] == "::1"
