"""Who gets to see the admin pages: by token, and by the name that was asked for."""

import httpx
import pytest
from starlette.responses import PlainTextResponse

from shim.app.guard import Guard
from shim.asgi import LOCAL_PEER
from shim.local_peer import LocalPeer
from tests.fakes.loops import run
from tests.support.series import series

TOKEN = "a-token-of-some-length"
PROBES = ["/healthz", "/readyz"]
PAGES = ["/metrics", "/status.json", "/uploads", "/nowhere", "/healthz/", "/Healthz"]


def ask(
    path, headers=None, *, token=TOKEN, host="127.0.0.1:9293", server="127.0.0.1", method="GET", peer=None
):
    application = Guard(PlainTextResponse("seen"), token)

    async def served(scope, receive, send):
        scope["server"] = (server, 9293) if server else None
        if peer is not None:
            scope["server"], scope["extensions"] = ("/run/admin.sock", None), {LOCAL_PEER: peer}
        await application(scope, receive, send)

    async def story():
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.request(method, path, headers={"host": host, **(headers or {})})

    return run(story())


@pytest.mark.parametrize("path", [*PROBES, "/"])
def test_probes_and_the_empty_page_need_no_token(path):
    assert ask(path).text == "seen"


@series("path", PAGES)
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


@series("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_in_any_case(scheme):
    assert ask("/metrics", {"Authorization": f"{scheme} {TOKEN}"}).text == "seen"


@series(
    "host",
    ["localhost", "localhost:9293", "LOCALHOST.", "127.0.0.1", "[::1]:9293", "[::1]", "10.0.0.1:80", ""],
)
def test_hosts_that_mean_this_machine(host):
    assert ask("/uploads", token=None, host=host).text == "seen"


@series(
    "host", ["evil.example", "evil.example:9293", "localhost.evil.example", "127.0.0.1.evil.example", "a:b:c"]
)
@series("server", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_was_made_to_lead_here(host, server):
    for path in ("/", "/uploads", "/metrics"):
        assert ask(path, token=None, host=host, server=server).status_code == 421
    # Probes tell no secret; a token cannot be known to another site; beyond loopback names are right.
    assert ask("/readyz", token=None, host=host, server=server).text == "seen"
    assert ask("/uploads", {"Authorization": f"Bearer {TOKEN}"}, host=host, server=server).text == "seen"
    assert ask("/uploads", token=None, host=host, server="192.0.2.1").text == "seen"
    assert ask("/uploads", token=None, host=host, server="").text == "seen"


# -- calls that change something ------------------------------------------------------------------

BEARER = {"Authorization": f"Bearer {TOKEN}"}
CALL = "/uploads/1-1/cancel"
PEER = LocalPeer(pid=7, uid=1000)

ALLOWED = [
    ("with the token", {"headers": BEARER}),
    ("with the token, by our own page", {"headers": {**BEARER, "Origin": "http://127.0.0.1:9293"}}),
    ("with the token, behind TLS", {"headers": {**BEARER, "Origin": "https://a.b"}, "host": "a.b"}),
    ("with the token, same origin", {"headers": {**BEARER, "Sec-Fetch-Site": "same-origin"}}),
    ("on a unix socket", {"token": None, "peer": PEER, "host": "anything"}),
    ("on a unix socket with the token", {"peer": PEER, "headers": BEARER}),
]
REFUSED = [
    ("without the token", 401, {}),
    ("on a unix socket that has a token", 401, {"peer": PEER}),
    ("where there is no token", 403, {"token": None}),
    ("where there is no token, beyond loopback", 403, {"token": None, "server": "192.0.2.1"}),
    ("by a name made to lead here", 421, {"token": None, "host": "evil.example"}),
    ("by another site", 403, {"headers": {**BEARER, "Origin": "http://evil.example"}}),
    ("by another port", 403, {"headers": {**BEARER, "Origin": "http://127.0.0.1:80"}}),
    ("by a page without an origin", 403, {"headers": {**BEARER, "Origin": "null"}}),
    ("by another site, says the browser", 403, {"headers": {**BEARER, "Sec-Fetch-Site": "cross-site"}}),
    ("by a neighbour, says the browser", 403, {"headers": {**BEARER, "Sec-Fetch-Site": "same-site"}}),
    (
        "by a page that reached a unix socket",
        403,
        {"token": None, "peer": PEER, "headers": {"Origin": "a://b"}},
    ),
]


@series("method", ["POST", "DELETE", "PUT"])
@series("options", [case[1] for case in ALLOWED])
def test_who_may_change_something(method, options):
    assert ask(CALL, method=method, **options).text == "seen"


@series("path", [CALL, "/", "/healthz"])
@series(("status", "options"), [case[1:] for case in REFUSED])
def test_who_may_not(path, status, options):
    refusal = ask(path, method="POST", **options)
    # Probes answer to any name; to change something by them is not to be had all the same.
    assert refusal.status_code == status or (path == "/healthz" and refusal.status_code == 403)
    assert refusal.text != "seen"
