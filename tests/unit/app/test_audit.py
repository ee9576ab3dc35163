"""Calls that change something leave a line: who, what, and what came of it; reading leaves none."""

import logging

import httpx
import pytest
from starlette.responses import PlainTextResponse

from shim.app.audit import MOST_TOLD, Audited
from shim.asgi import LOCAL_PEER
from shim.local_peer import LocalPeer
from tests.fakes.loops import run


def call(caplog, method, *, status=202, peer=None, path="/uploads/1-1/cancel"):
    application = Audited(PlainTextResponse("", status))

    async def served(scope, receive, send):
        if peer is not None:
            scope["extensions"] = {LOCAL_PEER: peer}
        await application(scope, receive, send)

    async def story():
        transport = httpx.ASGITransport(served, client=("192.0.2.9", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            await client.request(method, path)

    with caplog.at_level(logging.INFO, "shim.audit"):
        run(story())
    return [record.fields for record in caplog.records if record.name == "shim.audit"]


def test_a_long_path_does_not_fill_the_log(caplog):
    (line,) = call(caplog, "POST", status=404, path=f"/{'x' * 9000}")
    assert line["what"] == f"POST /{'x' * (MOST_TOLD - 6)}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_leaves_no_line(caplog, method):
    assert call(caplog, method) == []


@pytest.mark.parametrize(("status", "done"), [(202, True), (401, False), (403, False), (404, False)])
def test_a_call_leaves_one_whatever_came_of_it(caplog, status, done):
    what = "POST /servers/drain?server=http://one"
    told = {"who": "address 192.0.2.9", "what": what, "status": status, "done": done}
    assert call(caplog, "POST", status=status, path="/servers/drain?server=http://one") == [told]


def test_a_user_of_this_machine_is_named(caplog):
    (line,) = call(caplog, "POST", peer=LocalPeer(pid=42, uid=1000))
    assert line["who"] == "uid 1000 (pid 42)"
