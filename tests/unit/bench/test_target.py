"""URLs as people write them, and where requests then go."""

import pytest

from shim.bench.target import parse_target
from tests.support.series import series


@series(("url", "base", "shown"), [
    ("http://glance:9292", "http://glance:9292", "http://glance:9292"),
    ("http://glance", "http://glance:80", "http://glance:80"),
    ("https://cloud.example/image/", "https://cloud.example:443/image", "https://cloud.example:443/image"),
    ("http://[::1]:9292/", "http://[::1]:9292", "http://[::1]:9292"),
    ("http+unix:///run/glance.sock", "http://localhost", "http+unix:///run/glance.sock"),
])  # fmt: skip
def test_targets(url, base, shown):
    target = parse_target(url)
    assert (target.base, target.url) == (base, shown)


@series(("url", "reason"), [
    ("glance:9292", "is a URL"),
    ("uwsgi://127.0.0.1:3031", "they speak HTTP"),
    ("wsgi:glance.wsgi.api:application", "they speak HTTP"),
    ("http://user:secret@glance", "no user and no password"),
    ("http://glance/image?x=1", "no query"),
    ("http://glance/a b", "no blanks"),
    ("http://", "the host is missing"),
])  # fmt: skip
def test_what_is_none(url, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        parse_target(url)
    assert "secret" not in str(raised.value)
