"""What a connection keeps of its last head: what the next has in common with it, where that is small."""

import gc
import weakref

import pytest

from shim.server.request_heads import LONGEST_KEPT, MOST_KEPT, RequestHeads
from shim.wire.framing import NOTHING

GET = b"GET / HTTP/1.1\r\nHost: glance\r\n%b\r\n"


class Terms:
    """Can be referred to weakly."""

    def __init__(self, headers):
        self.headers = headers


class Way:
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
    way = Way()
    heads = RequestHeads(64 * 1024, way)
    for _ in range(3):
        request = heads.read(GET % fields)
        terms = heads.terms(request, NOTHING, {})
        assert terms.headers == request.headers
    del request, terms
    assert way.kept == kept
    assert len(way.made) == (1 if kept else 3)
    # What is known of a head that was kept before is still true.
    assert heads.read(GET % b"").target == b"/"
