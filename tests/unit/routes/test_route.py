"""Route patterns: what ``*`` and ``**`` take, on raw paths whose escaped slashes are no slashes."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.routes.route import BodyMode, HeaderPattern, Miss, Route
from tests.support.examples import examples
from tests.support.series import series

PATTERNS = [
    # pattern, the paths it takes, the paths it does not
    pytest.param("/", [b"/"], [b"", b"//", b"/a", b"*"], id="root"),
    pytest.param("/a", [b"/a", b"/%61"], [b"/", b"/a/", b"/A", b"/ab", b"a", b"//a", b"/a?b"], id="literal"),
    pytest.param("/a.b", [b"/a.b"], [b"/aXb"], id="a dot is a dot"),
    pytest.param("/a+(b)", [b"/a+(b)"], [b"/aab"], id="nothing else is a pattern"),
    pytest.param(
        "/*", [b"/a", b"/a%2Fb", b"/%0A", b"/%20", b"/*"], [b"/", b"/a/", b"/a/b", b"a"], id="one segment"
    ),
    pytest.param("/a/*/c", [b"/a/b/c", b"/a/../c"], [b"/a//c", b"/a/c", b"/a/b/b/c"], id="one inside"),
    pytest.param("/a*", [b"/ab", b"/abc"], [b"/a", b"/a/b", b"/b"], id="a part of a segment"),
    pytest.param("/**", [b"/", b"/a", b"/a/", b"//", b"/a/b/c", b"/%0A/%0A"], [b"*", b"a"], id="any"),
    pytest.param("/a/**", [b"/a", b"/a/", b"/a/b", b"/a/b/c"], [b"/ab", b"/b/a/"], id="any below"),
    pytest.param(
        "/**/c", [b"/c", b"/b/c", b"/a/b/c", b"//c"], [b"/bc", b"/c/", b"/c/d", b"c"], id="any before"
    ),
    pytest.param(
        "/a/**/c", [b"/a/c", b"/a/b/c", b"/a/b/b/c"], [b"/ac", b"/a/bc", b"/b/a/c"], id="any inside"
    ),
    pytest.param(
        "/**/v2/images/*/file",
        [b"/v2/images/x/file", b"/image/v2/images/x/file", b"/a/b/v2/images/x%2Fy/file"],
        [
            b"/v2/images/file",
            b"/v2/images//file",
            b"/v2/images/x/y/file",
            b"/v2/images/x/file/",
            b"/xv2/images/x/file",
        ],
        id="Glance's upload",
    ),
    pytest.param("/a%2Fb", [b"/a%2Fb", b"/a%2fb"], [b"/a/b"], id="an escaped slash, written out"),
    pytest.param("/\u00e4", [b"/%C3%A4"], [b"/\xc3\xa4", b"/%E4"], id="UTF-8"),
]


@series(("pattern", "taken", "left"), PATTERNS)
def test_patterns(pattern, taken, left):
    route = Route("name", "up", path=pattern)
    assert [path for path in [*taken, *left] if route.matches("GET", path)] == taken


@pytest.mark.parametrize(
    ("methods", "taken", "left"),
    [
        pytest.param((), ["GET", "PUT", "X"], [], id="none means all"),
        pytest.param(("PUT",), ["PUT"], ["GET", "put", "PUTS", ""], id="one"),
        pytest.param(("PUT", "POST"), ["PUT", "POST"], ["GET"], id="two"),
    ],
)
def test_methods(methods, taken, left):
    route = Route("name", "up", frozenset(methods))
    assert [method for method in [*taken, *left] if route.matches(method, b"/")] == taken


@series("raw", [b"/\xff", b"/%FF", b"/%", b"/%zz", b"/" + b"%2F" * 1000])
def test_any_bytes_are_taken_without_an_error(raw):
    assert Route("name", "up", path="/*").matches("GET", raw)


def test_the_default_takes_everything():
    route = Route("name", "up")
    assert route.body is BodyMode.AUTO
    assert route.matches("X", b"/a/b")


CLI = HeaderPattern("user-agent", "*glanceclient*")


@series(
    ("pattern", "taken", "left"),
    [
        pytest.param("x", [b"x"], [b"", b"xx", b"X"], id="literal"),
        pytest.param("*", [b"", b"anything", b"\xff"], [], id="any"),
        pytest.param("a*c", [b"ac", b"abc", b"a*c", b"a/b\nc"], [b"abcd", b"xac"], id="inside"),
        pytest.param("a.c", [b"a.c"], [b"abc"], id="nothing else is a pattern"),
    ],
)
def test_header_patterns(pattern, taken, left):
    route = Route("name", "up", headers=(HeaderPattern("x-kind", pattern),))
    assert [value for value in [*taken, *left] if route.matches("GET", b"/", ((b"x-kind", value),))] == taken


# What the route asks for, what the request has, why it does not take it.
MISSES = [
    pytest.param(
        {"headers": (CLI,)}, {"headers": ((b"user-agent", b"python-glanceclient/4"),)}, None, id="header"
    ),
    pytest.param({"headers": (CLI,)}, {}, Miss.HEADER, id="no header"),
    pytest.param(
        {"headers": (CLI,)}, {"headers": ((b"x", b"glanceclient"),)}, Miss.HEADER, id="another header"
    ),
    pytest.param(
        {"headers": (CLI,)},
        {"headers": ((b"user-agent", b"curl"), (b"user-agent", b"glanceclient"))},
        None,
        id="one of several fields",
    ),
    pytest.param(
        {"headers": (CLI, HeaderPattern("x", "*"))},
        {"headers": ((b"x", b""),)},
        Miss.HEADER,
        id="all are asked for",
    ),
    pytest.param({"at_least": 10}, {"size": 10}, None, id="just as large"),
    pytest.param({"at_least": 10}, {"size": 9}, Miss.SIZE, id="smaller"),
    pytest.param({"at_most": 10}, {"size": 10}, None, id="just as small"),
    pytest.param({"at_most": 10}, {"size": 11}, Miss.SIZE, id="larger"),
    pytest.param({"at_most": 10}, {"size": 0}, None, id="without a body"),
    pytest.param({"at_least": 0, "at_most": 0}, {"size": 0}, None, id="only without a body"),
    pytest.param({"at_least": 0}, {"size": None}, Miss.SIZE, id="not declared"),
    pytest.param({}, {"size": None}, None, id="no size asked for"),
    pytest.param(
        {"methods": frozenset({"PUT"}), "path": "/a", "headers": (CLI,), "at_least": 1},
        {"size": 0},
        Miss.METHOD,
        id="the method is looked at first",
    ),
    pytest.param(
        {"path": "/a", "headers": (CLI,), "at_least": 1}, {"size": 0}, Miss.PATH, id="then the path"
    ),
    pytest.param({"headers": (CLI,), "at_least": 1}, {"size": 0}, Miss.HEADER, id="then the headers"),
]


@series(("conditions", "request_", "miss"), MISSES)
def test_why_not(conditions, request_, miss):
    route = Route("name", "up", **conditions)
    assert route.miss("GET", b"/", **request_) is miss
    assert route.matches("GET", b"/", **request_) is (miss is None)


# -- what a client sends must not be able to keep the shim busy ---------------------------------------------


def plain_path(pattern):
    """The pattern as one would write it down: right, and slow on what is made to be."""
    parts = re.split(r"(/\*\*/|/\*\*$|\*\*|\*)", pattern)
    kinds = {"/**/": "/(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]+"}
    return re.compile("".join(kinds.get(part) or re.escape(part) for part in parts), re.DOTALL)


def plain_value(pattern):
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


PIECES = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "/**/", "/*/", "/**"]), max_size=9).map("".join)
SEGMENTS = st.text("ab/", max_size=12)


@examples(500)
@given(PIECES, SEGMENTS)
@example("**a/a*b", "a/aa/ab")
@example("/a*b/**", "/aabab/b")
@example("***a", "b/ba")
def test_paths_match_as_their_patterns_say(pattern, path):
    route = Route("name", "up", path=pattern)
    assert route.matches("GET", path.encode()) is bool(plain_path(pattern).fullmatch(path))


@examples(500)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_values_match_as_their_patterns_say(pattern, value):
    found = HeaderPattern("x-a", pattern).matches([(b"x-a", value.encode())])
    assert found is bool(plain_value(pattern).fullmatch(value))


HOSTILE = 64 * 1024


@series(
    "pattern",
    [
        "/**/a/**/a/**/b",
        "/**/a/**/a/**/a/**/*b",
        "/*a*a*a*b",
        "/**a**a**a**b",
        "/**a*b**a*b",
        "***b",
        "/**a*a*b/**",
    ],
)
@series("unit", [b"a", b"/a", b"/", b"aa/"])
def test_a_long_path_is_soon_decided(pattern, unit):
    """The plain expressions take from minutes to years for these."""
    path = b"/a" + unit * (HOSTILE // len(unit))
    assert not Route("name", "up", path=pattern).matches("GET", path)


@pytest.mark.parametrize("pattern", ["*a*b*", "*a*a*a*a*b", "a*a*ab*a"])
def test_a_long_value_is_soon_decided(pattern):
    assert not HeaderPattern("x-a", pattern).matches([(b"x-a", b"a" * HOSTILE)])
