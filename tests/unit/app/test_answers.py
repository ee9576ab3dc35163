"""The shim's own answers: the table of statuses written out, and the three forms by Accept."""

import json
import re
from html.parser import HTMLParser

import pytest

from shim.app.answers import STATUSES, answer_error, title_of
from shim.errors import BadRequest, BodyTooLarge, DiskFull, ProjectLimit, ShimError, SpoolFull
from tests.support.series import series

ID = "req-00000000-0000-4000-8000-000000000001"

PROMISED = {
    400: {"bad_request", "bad_framing", "size_mismatch"},
    408: {"header_timeout", "body_idle_timeout", "body_total_timeout", "body_too_slow"},
    413: {"body_too_large"},
    417: {"expectation_failed"},
    429: {"project_limit"},
    431: {"head_too_large"},
    501: {"unknown_coding", "unknown_method"},
    502: {"upstream_refused", "upstream_closed", "upstream_invalid"},
    503: {"spool_full", "uploads_full", "queue_full", "queue_timeout", "draining", "no_upstream"},
    504: {"connect_timeout", "send_timeout", "response_timeout"},
    507: {"disk_full", "disk_error"},
}
# What only the log shows, a fault of the shim itself, two answers that stand for Glance's own, and the
# operator's word.
OTHERS = {
    "client_gone": 499,
    "client_too_slow": 499,
    "internal_error": 500,
    "image_conflict": 409,
    "token_expired": 401,
    "cancelled": 403,
}
RETRY_LATER = {429, 503}


def concrete(kind: type[ShimError] = ShimError) -> list[type[ShimError]]:
    """Every error of the shim that has none below it."""
    below = [child for child in kind.__subclasses__() if child.__module__.startswith("shim.")]
    return [error for child in below for error in concrete(child)] or [kind]


ERRORS = concrete()
EACH = series("error", ERRORS)


def accepting(*values: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"accept", value) for value in values)


# -- statuses -------------------------------------------------------------------------------------


def test_the_table_is_the_one_that_was_promised():
    promised = {code: status for status, codes in PROMISED.items() for code in codes}
    assert dict(STATUSES) == promised | OTHERS


def test_no_line_of_it_is_for_nobody():
    assert STATUSES.keys() == {error.code for error in [*ERRORS, ShimError]}


@EACH
def test_each_error_is_answered(error):
    answer = answer_error(error("What happened."), (), ID)
    headers = dict(answer.headers)
    assert answer.status == STATUSES[error.code]
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    assert headers[b"connection"] == b"close"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-openstack-request-id"] == ID.encode()
    assert (b"retry-after" in headers) is (answer.status in RETRY_LATER)
    assert json.loads(answer.body) == {
        "type": f"urn:problem-type:glance-shim:{error.code}",
        "status": answer.status,
        "title": title_of(answer.status),
        "detail": "What happened.",
        "code": error.code,
        "request_id": ID,
    }


def test_a_fault_of_the_shim_is_500():
    answer = answer_error(ShimError("The proxy failed."), (), ID)
    assert answer.status == 500
    assert json.loads(answer.body)["code"] == "internal_error"


@series(
    ("error", "seconds"),
    [
        pytest.param(SpoolFull("Full.", retry_after=30), b"30", id="as the error says"),
        pytest.param(SpoolFull("Full."), b"10", id="503 says something in any case"),
        pytest.param(ProjectLimit("Too many."), b"10", id="429 too"),
        pytest.param(SpoolFull("Full.", retry_after=0), b"0", id="at once"),
        pytest.param(DiskFull("Full.", retry_after=60), b"60", id="another status, where the error says so"),
        pytest.param(DiskFull("Full."), None, id="another status"),
        pytest.param(BodyTooLarge("Too large."), None, id="it would never fit"),
    ],
)
def test_retry_after(error, seconds):
    assert dict(answer_error(error, (), ID).headers).get(b"retry-after") == seconds


@series("status", sorted(set(STATUSES.values())))
def test_every_status_has_a_title(status):
    assert re.fullmatch(r"[A-Z][A-Za-z ()-]+", title_of(status))


def test_the_operators_words_are_not_for_clients():
    error = BadRequest("Malformed.", for_operator="Malformed, from 10.0.0.1.")
    for headers in ((), accepting(b"*/*"), accepting(b"text/html")):
        assert b"10.0.0.1" not in answer_error(error, headers, ID).body


# -- forms ----------------------------------------------------------------------------------------

JSON, HTML, PLAIN = b"application/problem+json", b"text/html; charset=utf-8", b"text/plain; charset=utf-8"
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

FORMS = [
    pytest.param((), JSON, id="missing"),
    pytest.param((b"application/json",), JSON, id="JSON"),
    pytest.param((b"application/problem+json",), JSON, id="problem+json"),
    pytest.param((b"APPLICATION/JSON",), JSON, id="upper case"),
    pytest.param((b" application/json ",), JSON, id="white space"),
    pytest.param((b"application/json; charset=utf-8",), JSON, id="parameter"),
    pytest.param((b"application/json;q=0.5",), JSON, id="quality"),
    pytest.param((b"application/json, */*",), JSON, id="JSON and anything"),
    pytest.param((b"*/*;q=0.1, application/json",), JSON, id="anything and JSON"),
    pytest.param((b"*/*", b"application/json"), JSON, id="two fields"),
    pytest.param((b"text/html, application/json;q=0.9",), JSON, id="HTML and JSON: JSON is named"),
    pytest.param((b"application/vnd.openstack.images-v2.16+json",), JSON, id="a kind of JSON"),
    pytest.param((b"text/html",), HTML, id="HTML"),
    pytest.param((b"Text/HTML;q=0.9",), HTML, id="HTML with quality"),
    pytest.param((BROWSER,), HTML, id="a browser"),
    pytest.param((b"*/*, text/html",), HTML, id="anything and HTML"),
    pytest.param((b"*/*",), PLAIN, id="anything"),
    pytest.param((b"*/*;q=0.8",), PLAIN, id="anything with quality"),
    pytest.param((b"*/*", b"*/*"), PLAIN, id="anything twice"),
    pytest.param((b"text/plain",), PLAIN, id="plain"),
    pytest.param((b"text/*",), PLAIN, id="any text"),
    pytest.param((b"application/octet-stream",), PLAIN, id="nothing that we have"),
    pytest.param((b"text/htmlx",), PLAIN, id="nearly HTML"),
    pytest.param((b"\xff\x00,,;",), PLAIN, id="nonsense"),
]


@series(("values", "content_type"), FORMS)
def test_the_form_follows_accept(values, content_type):
    answer = answer_error(BadRequest("Malformed."), accepting(*values), ID)
    assert dict(answer.headers)[b"content-type"] == content_type
    assert answer.status == 400


def test_plain_is_one_line():
    answer = answer_error(SpoolFull("The spool is full."), accepting(b"*/*"), ID)
    assert answer.body == b"503 spool_full: The spool is full.\n"


class Words(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.words: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.elements.append(tag)

    def handle_data(self, data):
        self.words += [data.strip()] if data.strip() else []


def test_html_says_the_same():
    page = Words(answer_error(SpoolFull("The spool is full."), accepting(b"text/html"), ID).body)
    assert page.elements == ["title", "h1", "p", "p"]
    heading = "503 Service Unavailable"
    assert page.words == [heading, heading, "spool_full: The spool is full.", ID]


@series(
    "detail",
    [
        "<script>alert(1)</script>",
        "</p><h1>x",
        "&lt;b&gt; & <b>",
        "\" onload='x'",
        "\u00e4 \u4f60 \U0001f600",
    ],
)
def test_no_detail_becomes_markup_or_breaks_a_form(detail):
    error = BadRequest(detail)
    page = Words(answer_error(error, accepting(b"text/html"), ID).body)
    assert page.elements == ["title", "h1", "p", "p"]
    assert f"bad_request: {detail}" in page.words
    assert json.loads(answer_error(error, (), ID).body)["detail"] == detail
    plain = answer_error(error, accepting(b"*/*"), ID)
    assert plain.body.decode() == f"400 bad_request: {detail}\n"
    assert dict(plain.headers)[b"content-length"] == b"%d" % len(plain.body)
