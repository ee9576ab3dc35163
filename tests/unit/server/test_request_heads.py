"""Heads of one connection: what the application says of their fields is asked once, while they stay."""

import gc
import weakref

import pytest

from shim.errors import BadRequest, HeadTooLarge
from shim.server.request_heads import LONGEST_KEPT, MOST_KEPT, RequestHeads
from shim.wire.framing import NOTHING, request_framing

FIELDS = b"Host: a\r\nX-Auth-Token: t\r\n\r\n"
ENDS = {"client": ("192.0.2.1", 1), "server": ("192.0.2.2", 80), "scheme": "http"}
LIMIT = 200
SIZED = b"GET / HTTP/1.1\r\nHost: glance\r\n%b\r\n"


class Way:
    """A short way for all requests whose token is not "no"; it notes what it was asked."""

    def __init__(self):
        self.asked = []

    def terms(self, headers, ends):
        assert ends is ENDS
        self.asked.append(headers)
        return None if (b"x-auth-token", b"no") in headers else object()


class Connection:
    """One connection's heads."""

    def __init__(self, way):
        self.heads = RequestHeads(LIMIT, way)

    def read(self, data):
        """The request, and what is said of it."""
        request = self.heads.read(data)
        assert request is not None
        framing = request_framing(request.http_version, request.headers)
        return request, self.heads.terms(request, framing, ENDS)


def head(line, fields=FIELDS):
    return line + b" HTTP/1.1\r\n" + fields


def test_it_is_asked_again_where_fields_are_others():
    way = Way()
    connection = Connection(way)
    found = [
        connection.read(head(line, fields))[1]
        for line, fields in [
            (b"GET /a", FIELDS),
            (b"HEAD /b", FIELDS),
            (b"GET /a", FIELDS.replace(b"t\r", b"u\r")),
            (b"GET /a", FIELDS),
        ]
    ]
    assert [terms is found[0] for terms in found] == [True, True, False, False]
    assert len(way.asked) == 3


def test_a_refusal_is_remembered_too():
    way = Way()
    connection = Connection(way)
    for line in (b"GET /a", b"GET /b"):
        assert connection.read(head(line, FIELDS.replace(b"t\r", b"no\r")))[1] is None
    assert len(way.asked) == 1


def test_without_a_short_way_nobody_is_asked():
    assert Connection(None).read(head(b"GET /"))[1] is None


def test_http_1_0_is_not_asked_for():
    way = Way()
    connection = Connection(way)
    assert connection.read(head(b"GET /").replace(b"/1.1", b"/1.0"))[1] is None
    assert way.asked == []


def test_the_limit_holds_for_known_fields_too():
    connection = Connection(Way())
    connection.read(head(b"GET /"))
    long = head(b"GET /" + b"x" * LIMIT)
    with pytest.raises(HeadTooLarge):
        connection.read(long)


def test_a_head_that_comes_in_pieces_after_a_known_one():
    connection = Connection(Way())
    connection.read(head(b"GET /"))
    whole = head(b"GET /next")
    for cut in range(1, len(whole)):
        assert connection.heads.read(whole[:cut]) is None
        assert len(connection.heads) == cut
        request, terms = connection.read(whole[cut:])
        assert (request.target, len(connection.heads)) == (b"/next", 0)
        assert terms is not None


def test_what_follows_a_head_is_not_taken_for_fields():
    connection = Connection(Way())
    connection.read(head(b"GET /"))
    request, _ = connection.read(head(b"GET /a") + head(b"GET /b"))
    assert request.target == b"/a"
    assert connection.heads.take_rest() == head(b"GET /b")


def test_the_same_fields_do_not_excuse_a_line():
    connection = Connection(Way())
    connection.read(head(b"GET /"))
    with pytest.raises(BadRequest):
        connection.read(head(b"GET /a b"))


def test_a_body_leaves_nothing_to_be_known_by():
    """Its head comes with it, and is read anew; what is said of its fields is kept all the same."""
    way = Way()
    connection = Connection(way)
    framed = FIELDS.replace(b"Host", b"Content-Length: 2\r\nHost")
    for _ in range(2):
        request, terms = connection.read(head(b"PUT /", framed) + b"hi")
        assert (request.method, terms is not None) == ("PUT", True)
        assert connection.heads.take_rest() == b"hi"
    assert len(way.asked) == 1


class Terms:
    """Can be referred to weakly."""

    def __init__(self, headers):
        self.headers = headers


class Remembering:
    """Has terms for all, and says who is still alive of them."""

    def __init__(self):
        self.made = []

    def terms(self, headers, _ends):
        """New ones."""
        terms = Terms(headers)
        self.made.append(weakref.ref(terms))
        return terms

    @property
    def kept(self):
        """How many there are."""
        gc.collect()
        return sum(made() is not None for made in self.made)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        pytest.param(b"X-Auth-Token: t\r\n", 1, id="as most"),
        pytest.param(b"X-Auth-Token: %b\r\n" % (b"t" * LONGEST_KEPT), 0, id="long"),
        pytest.param(b"a:\r\n" * MOST_KEPT, 0, id="many fields"),
    ],
)
def test_what_is_kept_between_two_requests(fields, kept):
    """Memory of idle connections: a head of 64 KiB may be 16000 fields."""
    way = Remembering()
    heads = RequestHeads(64 * 1024, way)
    for _ in range(3):
        request = heads.read(SIZED % fields)
        terms = heads.terms(request, NOTHING, {})
        assert terms.headers == request.headers
    del request, terms
    assert way.kept == kept
    assert len(way.made) == (1 if kept else 3)
    # What is known of a head that was kept before is still true.
    assert heads.read(SIZED % b"").target == b"/"
