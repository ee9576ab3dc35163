"""Route patterns: what ``*`` and ``**`` take, on raw paths whose escaped slashes are no slashes."""

import pytest

from shim.routes.route import BodyMode, Route

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


@pytest.mark.parametrize(("pattern", "taken", "left"), PATTERNS)
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


@pytest.mark.parametrize("raw", [b"/\xff", b"/%FF", b"/%", b"/%zz", b"/" + b"%2F" * 1000], ids=repr)
def test_any_bytes_are_taken_without_an_error(raw):
    assert Route("name", "up", path="/*").matches("GET", raw)


def test_the_default_takes_everything():
    route = Route("name", "up")
    assert route.body is BodyMode.AUTO
    assert route.matches("X", b"/a/b")
