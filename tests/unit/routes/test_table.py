"""The route table: the first match wins, the fallback comes last, and without one there is a refusal."""

import pytest

from shim.errors import NoUpstream
from shim.routes.route import Route
from shim.routes.table import RouteTable
from tests.support.series import series

UPLOAD = Route("upload", "a", frozenset({"PUT"}), "/v2/**")
IMAGES = Route("images", "b", path="/v2/images")
REST = Route("rest", "c", path="/v2/**")
FALLBACK = Route("default", "d")


@series(
    ("method", "path", "route"),
    [
        pytest.param("PUT", b"/v2/images", UPLOAD, id="two match, the first wins"),
        pytest.param("GET", b"/v2/images", IMAGES, id="the first does not match"),
        pytest.param("GET", b"/v2/x", REST, id="the last"),
        pytest.param("GET", b"/", FALLBACK, id="none"),
        pytest.param("OPTIONS", b"*", FALLBACK, id="no path at all"),
    ],
)
def test_the_first_match_wins(method, path, route):
    assert RouteTable([UPLOAD, IMAGES, REST], fallback=FALLBACK).find(method, path) is route


def test_without_a_fallback_what_matches_nothing_is_refused():
    table = RouteTable([UPLOAD])
    assert table.find("PUT", b"/v2/x") is UPLOAD
    with pytest.raises(NoUpstream):
        table.find("GET", b"/v2/x")


def test_without_routes_all_falls_back():
    assert RouteTable([], fallback=FALLBACK).find("PUT", b"/v2/x") is FALLBACK


def test_the_order_given_is_the_order_kept():
    assert RouteTable(iter([REST, UPLOAD])).routes == (REST, UPLOAD)
