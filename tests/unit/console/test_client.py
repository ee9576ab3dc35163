"""Where the admin listener is, in every way that an operator may write it."""

import pytest

from shim.console.client import parse_admin


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:9293", "http://127.0.0.1:9293"),
        ("http://127.0.0.1:9293/", "http://127.0.0.1:9293"),
        ("127.0.0.1:9293", "http://127.0.0.1:9293"),
        ("[::1]:9293", "http://[::1]:9293"),
        ("https://admin.example", "https://admin.example:443"),
        ("unix:/run/admin.sock", "http+unix:///run/admin.sock"),
        ("http+unix:///run/admin.sock", "http+unix:///run/admin.sock"),
    ],
)
def test_addresses(text, url):
    assert str(parse_admin(text)) == url


@pytest.mark.parametrize(
    "text", ["", "uwsgi://h:1", "wsgi:a:b", "unix:relative", "http://h/path", "fd:3", "ftp://h"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"."):
        parse_admin(text)
