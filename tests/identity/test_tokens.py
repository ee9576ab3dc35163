"""Keystone's tokens at Glance: through the shim, and without it what an expired one is worth.

The second half is about Glance and keystonemiddleware alone: what the shim may rest on when it vouches.
"""

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.identity.cloud import Cloud
from tests.integration.running import run_shim
from tests.support.shim import Shim
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

DATA = bytes(range(256)) * 4096
IMAGE = {"name": "cloud", "container_format": "bare", "disk_format": "raw"}
EXPIRY_LIMIT = 60.0


def ask(method: str, url: str, token: str, service_token: str = "", **more) -> httpx.Response:
    headers = {"X-Auth-Token": token, **more.pop("headers", {})}
    if service_token:
        headers["X-Service-Token"] = service_token
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=60, **more)


def upload(url: str, image: str, token: str) -> httpx.Response:
    # From an iterator: httpx sends it chunked.
    pieces = (DATA[start : start + 65536] for start in range(0, len(DATA), 65536))
    octets = {"Content-Type": "application/octet-stream"}
    return ask("PUT", f"{url}/v2/images/{image}/file", token, headers=octets, content=pieces)


def create(url: str, token: str) -> str:
    answer = ask("POST", f"{url}/v2/images", token, json=IMAGE)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def show(url: str, image: str, token: str) -> dict[str, object]:
    return json.loads(ask("GET", f"{url}/v2/images/{image}", token).text)


@pytest.fixture(scope="module")
def shim(cloud: Cloud, tmp_path_factory) -> Iterator[Shim]:
    with run_shim(tmp_path_factory.mktemp("shim"), cloud.server.url) as shim:
        yield shim
        shim.await_rest()
        assert not shim.complaints()


@pytest.fixture
def url(shim: Shim) -> str:
    return f"http://127.0.0.1:{shim.port}"


def test_a_keystone_token_uploads_chunked(cloud: Cloud, url: str):
    token = cloud.user_token()
    image = create(url, token)
    assert upload(url, image, token).status_code == 204
    shown = show(cloud.server.url, image, token)
    assert (shown["status"], shown["size"]) == ("active", len(DATA))
    assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert ask("GET", f"{url}/v2/images/{image}/file", token).content == DATA


def test_a_wrong_token_is_refused(cloud: Cloud, url: str):
    token = cloud.user_token()
    image = create(url, token)
    refusal = upload(url, image, "wrong")
    assert refusal.status_code == 401
    # Where to get a token: a client that logs in by itself looks for it.
    assert refusal.headers["WWW-Authenticate"] == f'Keystone uri="{cloud.identity.url}/v3"'
    assert show(url, image, token)["status"] == "queued"


def test_a_revoked_token_is_refused(cloud: Cloud, url: str):
    token = cloud.user_token()
    image = create(url, token)
    cloud.identity.revoke(token)
    assert upload(url, image, token).status_code == 401
    assert show(url, image, cloud.user_token())["status"] == "queued"


@pytest.fixture(scope="module")
def expired_tokens(short_cloud: Cloud) -> tuple[str, str]:
    """A user's token and a service's, which were good and have ended."""
    tokens = short_cloud.user_token(), short_cloud.service_token()
    for token in tokens:
        eventually(lambda token=token: not short_cloud.identity.knows(token), "it expires", EXPIRY_LIMIT)
    return tokens


@pytest.fixture
def expired(expired_tokens: tuple[str, str]) -> str:
    return expired_tokens[0]


@pytest.fixture
def images(short_cloud: Cloud) -> str:
    return f"{short_cloud.server.url}/v2/images"


def test_an_expired_token_alone_is_refused(expired: str, images: str):
    assert ask("GET", images, expired).status_code == 401


def test_a_service_token_makes_an_expired_one_work(short_cloud: Cloud, expired: str, images: str):
    assert ask("GET", images, expired, short_cloud.service_token()).status_code == 200


def test_a_member_cannot_vouch(short_cloud: Cloud, expired: str, images: str):
    assert ask("GET", images, expired, short_cloud.user_token()).status_code == 401


def test_an_expired_service_token_does_not_vouch(expired_tokens: tuple[str, str], images: str):
    assert ask("GET", images, *expired_tokens).status_code == 401


def test_a_wrong_service_token_does_no_harm_to_a_good_token(short_cloud: Cloud, images: str):
    # Glance's paste file sets delay_auth_decision; where it is not set, keystonemiddleware answers 401 here.
    assert ask("GET", images, short_cloud.user_token(), "wrong").status_code == 200


def test_a_service_token_does_not_stand_for_a_user(short_cloud: Cloud, images: str):
    assert ask("GET", images, "wrong", short_cloud.service_token()).status_code == 401
