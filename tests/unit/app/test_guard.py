"""Who gets to see the admin pages: by token, and by the name that was asked for."""

import httpx
import pytest
from starlette.responses import PlainTextResponse

from shim.app.guard import Guard
from tests.fakes.loops import run

TOKEN = "a-token-of-some-length"
PROBES = ["/healthz", "/readyz"]
PAGES = ["/metrics", "/status.json", "/uploads", "/nowhere", "/healthz/", "/Healthz"]


def ask(path, headers=None, *, token=TOKEN, host="127.0.0.1:9293", server="127.0.0.1"):
    application = Guard(PlainTextResponse("seen"), token)

    async def served(scope, receive, send):
        scope["server"] = (server, 9293) if server else None
        await application(scope, receive, send)

    async def story():
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.get(path, headers={"host": host, **(headers or {})})

    return run(story())


@pytest.mark.parametrize("path", [*PROBES, "/"])
def test_probes_and_the_empty_page_need_no_token(path):
    assert ask(path).text == "seen"


@pytest.mark.parametrize("path", PAGES)
def test_all_else_needs_it(path):
    answer = ask(path)
    assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    assert TOKEN not in answer.text
    assert ask(path, {"Authorization": f"Bearer {TOKEN}"}).text == "seen"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        b"Bearer \xff\xfe",
    ],
)
def test_what_is_no_token(given):
    assert ask("/metrics", {"Authorization": given}).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_in_any_case(scheme):
    assert ask("/metrics", {"Authorization": f"{scheme} {TOKEN}"}).text == "seen"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9293", "LOCALHOST.", "127.0.0.1", "[::1]:9293", "[::1]", "10.0.0.1:80", ""],
)
def test_hosts_that_mean_this_machine(host):
    assert ask("/uploads", token=None, host=host).text == "seen"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9293", "localhost.evil.example", "127.0.0.1.evil.example", "a:b:c"]
)
@pytest.mark.parametrize("server", ["127.0.0.1", "::1"])
def test_a_name_that_was_made_to_lead_here(host, server):
    for path in ("/", "/uploads", "/metrics"):
        assert ask(path, token=None, host=host, server=server).status_code == 421
    # Probes tell no secret; a token cannot be known to another site; beyond loopback names are right.
    assert ask("/readyz", token=None, host=host, server=server).text == "seen"
    assert ask("/uploads", {"Authorization": f"Bearer {TOKEN}"}, host=host, server=server).text == "seen"
    assert ask("/uploads", token=None, host=host, server="192.0.2.1").text == "seen"
    assert ask("/uploads", token=None, host=host, server="").text == "seen"
