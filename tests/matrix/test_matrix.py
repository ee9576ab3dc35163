"""The pure parts of ``make matrix``: verdicts from a program's words, tables from verdicts, their place."""

import datetime as dt

import pytest

from tests.matrix import verdict
from tests.matrix.__main__ import tell_failures
from tests.matrix.report import DOCUMENT, NAME, README, Circumstances, render, render_short
from tests.matrix.tables import Matrix, as_markdown, put_between
from tests.matrix.versions import first_version
from tests.support.series import series

DIGEST = "ab" * 64


@series(("output", "expected"), [
    ("HTTP 411 Length Required: Length Required: A request of the requested method PUT requires", "411"),
    ("HTTP 500 Internal Server Error: 500 Internal Server Error: : ", "500"),
    ("413 Request Entity Too Large: The body exceeds", "413"),
    ("curl: (22) The requested URL returned error: 502", "502"),
    ("openstack.exceptions.HttpException: HttpException: 411: Client Error for url: http://127.0.0.1", "411"),
    ("openstack.exceptions.BadRequestException: BadRequestException: 400: Client Error", "400"),
    ("curl: (56) Recv failure: Connection reset by peer", "reset"),
    ("curl: (52) Empty reply from server", "reset"),
    ("('Connection aborted.', BrokenPipeError(32, 'Broken pipe'))", "reset"),
    ("Error finding address for http://127.0.0.1:5000/v2: [Errno 104] Connection reset by peer", "reset"),
    ("RemoteProtocolError: Server disconnected without sending a response.", "reset"),
    ("ReadError: ", "reset"),
    ("'str' object has no attribute 'get'", "failed"),
    ("no such file 0b9d3b0e-4131-4f21-8411-a5cf0a2b1c00", "failed"),
])  # fmt: skip
def test_failure_is_named_by_what_the_person_reads(output, expected):
    assert verdict.of_failure(output) == expected


@series(("status", "size", "digest", "expected"), [
    ("active", 5, DIGEST, verdict.OK),
    ("active", 0, "cd" * 64, verdict.EMPTY),
    ("active", 4, "cd" * 64, verdict.WRONG),
    ("queued", None, None, "queued"),
    ("saving", None, None, "saving"),
])  # fmt: skip
def test_image_is_judged_by_its_bytes(status, size, digest, expected):
    assert verdict.of_image(status, size, digest, expected=DIGEST) == expected


@pytest.fixture
def matrix() -> Matrix:
    matrix = Matrix()
    matrix.put("directly", "gunicorn", "curl", "ok")
    matrix.put("directly", "gunicorn", "glance", "500")
    matrix.put("through the shim", "gunicorn", "curl", "ok")
    matrix.put("through the shim", "gunicorn", "glance", "ok")
    matrix.put("through the shim", "uwsgi-unix", "curl", "ok")
    return matrix


def test_one_way_is_a_table_of_hostings(matrix: Matrix):
    rows = matrix.rows(("directly",), ["curl", "glance"])
    assert rows == [("hosting", "curl", "glance"), ("gunicorn", "ok", "**500**")]


def test_several_ways_are_named_and_gaps_shown(matrix: Matrix):
    rows = matrix.rows(("directly", "through the shim"), ["curl", "glance"])
    assert rows[1:] == [
        ("gunicorn, directly", "ok", "**500**"),
        ("gunicorn, through the shim", "ok", "ok"),
        ("uwsgi-unix, through the shim", "ok", "-"),
    ]


def test_short_table_counts(matrix: Matrix):
    assert matrix.short_rows(("directly", "through the shim")) == [
        ("hosting of Glance", "directly", "through the shim"),
        ("gunicorn", "1 of 2", "2 of 2"),
        ("uwsgi-unix", "-", "1 of 1"),
    ]


def test_only_what_goes_through_the_shim_must_be_ok(matrix: Matrix):
    assert matrix.failures(["directly"]) == ["glance on gunicorn, directly: 500"]
    assert tell_failures(matrix.failures(["through the shim"])) == 0
    matrix.put("through the shim", "uwsgi-unix", "glance", "empty image!")
    failures = matrix.failures(["through the shim"])
    assert failures == ["glance on uwsgi-unix, through the shim: empty image!"]
    assert tell_failures(failures) == 1


def test_markdown_has_a_line_under_its_head():
    assert as_markdown([("a", "b"), ("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_text_around_the_markers_stays():
    text = "before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter\n"
    once = put_between(text, "x", "new\n")
    assert once == "before\n<!-- x: begin -->\nnew\n<!-- x: end -->\nafter\n"
    assert put_between(once, "x", "new") == once


@series("text", [
    "",
    "<!-- x: begin -->",
    "<!-- x: end --><!-- x: begin -->",
    "<!-- x: begin --><!-- x: begin --><!-- x: end -->",
])  # fmt: skip
def test_document_without_a_place_is_a_fault(text):
    with pytest.raises(ValueError, match="no place"):
        put_between(text, "x", "new")


@pytest.mark.parametrize("file", [DOCUMENT, README], ids=lambda file: file.name)
def test_documents_have_their_place(file):
    text = file.read_text()
    assert put_between(text, NAME, "inside") != text


def test_report_says_when_with_what_and_what_is_missing(matrix: Matrix):
    circumstances = Circumstances(
        dt.date(2030, 1, 2), {"glance": "33.0.0"}, 16 << 20, ["mod-wsgi: no Apache"]
    )
    text = render(matrix, circumstances)
    for told in (
        "2030-01-02",
        "16 MiB",
        "glance 33.0.0",
        "Not measured: mod-wsgi: no Apache.",
        "| gunicorn |",
    ):
        assert told in text
    assert "| gunicorn | 1 of 2 | - | - | 2 of 2 |" in render_short(matrix)


@pytest.mark.parametrize(("told", "expected"), [
    ("nginx version: nginx/1.22.1", "1.22.1"),
    ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", "2.6.12"),
    ("no idea", "unknown"),
])  # fmt: skip
def test_version_is_the_first_number_with_a_dot(told, expected):
    assert first_version(told) == expected
