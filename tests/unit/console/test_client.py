"""Where the admin listener is, in every way that an operator may write it; and what may answer there."""

import asyncio

import httpx
import pytest

from shim.console.client import AdminClient, AdminError, parse_admin
from tests.support.series import series


@series(
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


@series("text", ["", "uwsgi://h:1", "wsgi:a:b", "unix:relative", "http://h/path", "fd:3", "ftp://h"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"."):
        parse_admin(text)


def garbled(_request):
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=b"no gzip")


@pytest.mark.parametrize("question", ["status", "uploads"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: httpx.Response(200, text="<html>"), id="no JSON"),
        pytest.param(lambda _: httpx.Response(200, text="3"), id="another JSON"),
        pytest.param(lambda _: httpx.Response(200, text='{"versions": []}'), id="Glance"),
        pytest.param(lambda _: httpx.Response(200, content=b"[" * 200_000), id="JSON without an end"),
        pytest.param(garbled, id="garbled"),
    ],
)
def test_who_is_no_shim_is_told_as_such(monkeypatch, question, answer):
    monkeypatch.setattr("shim.console.client.UpstreamTransport", lambda _: httpx.MockTransport(answer))

    async def story():
        async with AdminClient(parse_admin("127.0.0.1:80")) as client:
            with pytest.raises(AdminError, match=r"http://127\.0\.0\.1:80"):
                await getattr(client, question)()

    asyncio.run(story())
