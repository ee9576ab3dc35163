"""The shim's own token from keystone: asked for as Identity API v3 says, renewed early, done without."""

import asyncio
import json
import logging
import ssl

import httpx
import pytest

from shim.service.service_account import ServiceAccount
from shim.service.service_token import PAUSE_AFTER_FAILURE, RENEWED_AFTER, ServiceTokens

ACCOUNT = ServiceAccount("http://keystone:5000/v3/", "shim", "se cret")
LIFE = 3600.0
TRUST = ssl.create_default_context()


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Keystone(httpx.AsyncBaseTransport):
    """Gives numbered tokens, or fails as told."""

    def __init__(self):
        self.asked = []
        self.failure = None
        self.token = {
            "issued_at": "2031-01-01T00:00:00.000000Z",
            "expires_at": "2031-01-01T01:00:00.000000Z",
        }

    async def handle_async_request(self, request):
        await asyncio.sleep(0)
        self.asked.append(request)
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure is not None:
            return self.failure
        headers = {"X-Subject-Token": f"token-{len(self.asked)}", "Set-Cookie": "a=b"}
        return httpx.Response(201, headers=headers, json={"token": self.token})


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def keystone():
    return Keystone()


@pytest.fixture
def tokens(keystone, clock, monkeypatch):
    # For a network that is not there, what the system trusts need not be read anew for each question.
    monkeypatch.setattr("shim.service.service_token.ssl.create_default_context", lambda **_: TRUST)
    return ServiceTokens(ACCOUNT, transport=keystone, clock=clock)


def get(tokens):
    return asyncio.run(tokens.token())


def test_the_question(tokens, keystone):
    assert get(tokens) == b"token-1"
    (request,) = keystone.asked
    assert (request.method, str(request.url)) == ("POST", "http://keystone:5000/v3/auth/tokens")
    user = {"name": "shim", "domain": {"name": "Default"}, "password": "se cret"}
    assert json.loads(request.content) == {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "service", "domain": {"name": "Default"}}},
        }
    }


def test_a_token_is_used_for_half_its_life(tokens, keystone, clock):
    assert get(tokens) == b"token-1"
    clock.now = LIFE * RENEWED_AFTER - 1
    assert get(tokens) == b"token-1"
    clock.now += 1
    assert get(tokens) == b"token-2"
    assert "cookie" not in keystone.asked[1].headers


def test_uploads_that_come_together_ask_once(tokens, keystone):
    async def story():
        return await asyncio.gather(*(tokens.token() for _ in range(20)))

    assert set(asyncio.run(story())) == {b"token-1"}
    assert len(keystone.asked) == 1


FAILURES = [
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    OSError("no route"),
    httpx.InvalidURL("Invalid port: 'abc'"),
    # As connecting to port 99999 does.
    ExceptionGroup("unhandled errors in a TaskGroup", [OverflowError("port must be 0-65535.")]),
    httpx.Response(401, text="se cret is wrong"),
    httpx.Response(201, json={"token": {}}),
    httpx.Response(201, headers={"X-Subject-Token": "t"}, json={}),
    httpx.Response(201, headers={"X-Subject-Token": "t"}, text="<html>"),
    httpx.Response(
        201, headers={"X-Subject-Token": "t"}, json={"token": {"issued_at": "x", "expires_at": "y"}}
    ),
    httpx.Response(201, headers={"X-Subject-Token": "t"}, json={"token": []}),
]


@pytest.mark.parametrize("failure", FAILURES, ids=range(len(FAILURES)))
def test_without_keystone_there_is_none(tokens, keystone, clock, failure, caplog):
    keystone.failure = failure
    with caplog.at_level(logging.WARNING):
        assert get(tokens) is None
    assert "http://keystone:5000/v3/" in caplog.text
    assert "se cret" not in caplog.text
    # Not asked at once again by the next upload, but soon.
    clock.now = PAUSE_AFTER_FAILURE - 0.1
    assert get(tokens) is None
    assert len(keystone.asked) == 1
    keystone.failure, clock.now = None, PAUSE_AFTER_FAILURE
    assert get(tokens) == b"token-2"


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_an_address_that_leads_nowhere_gives_none(clock, port):
    tokens = ServiceTokens(ServiceAccount(f"http://127.0.0.1:{port}/v3", "shim", "se cret"), clock=clock)
    assert get(tokens) is None


def test_a_token_that_could_not_be_renewed_is_not_used_on(tokens, keystone, clock):
    get(tokens)
    clock.now, keystone.failure = LIFE * RENEWED_AFTER, httpx.ConnectError("refused")
    assert get(tokens) is None


def test_the_password_is_not_shown():
    assert "se cret" not in repr(ACCOUNT)
