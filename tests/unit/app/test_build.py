"""The parts put together: where requests go with one upstream, with several, and what a service adds."""

import gc
import hashlib
import sys
import types
from pathlib import Path

import httpx
import pytest

from shim.app.build import build
from shim.app.groups import UpstreamSpec
from shim.app.options import ProxyOptions
from shim.app.parts import Parts
from shim.errors import DiskError, NoUpstream
from shim.routes.route import Route
from shim.upstream.address import parse_upstream
from shim.upstream.message import UpstreamTimeouts
from tests.fakes.application import LAST_RESORT, threads
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.loops import run

IMAGE_FILE = b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file"


def spec(folder: Path, name: str) -> UpstreamSpec:
    """An upstream whose server is not there: every request that reaches it is refused at once."""
    return UpstreamSpec(name, (parse_upstream(f"uwsgi+unix://{folder}/{name}.sock"),))


def options(folder: Path, *names: str, **others: object) -> ProxyOptions:
    upstreams = [spec(folder, name) for name in names]
    timeouts = UpstreamTimeouts(connect_retry=0)
    return ProxyOptions(folder, upstreams, timeouts=timeouts, access_log=False, **others)


def route_of(parts: Parts, method: str, target: bytes) -> tuple[str, str]:
    """The route that a request was counted under, and the code that it ended with."""

    async def story() -> tuple[str, str]:
        client = FakeClient()
        await parts.application(scope_of(method, target), client.receive, client.send)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(parts.admin), base_url="http://admin"
        ) as admin:
            metrics = (await admin.get("/metrics")).text
        (line,) = [line for line in metrics.splitlines() if line.startswith("glance_shim_requests_total")]
        return line.partition('route="')[2].partition('"')[0], client.code

    try:
        return run(story())
    finally:
        parts.close()


@pytest.mark.parametrize(
    ("service", "method", "target", "route"),
    [
        pytest.param("glance", "GET", b"/v2/images", "api", id="Glance, a small call"),
        pytest.param("glance", "PUT", IMAGE_FILE, "image-upload", id="Glance, an upload"),
        pytest.param("none", "PUT", IMAGE_FILE, "default", id="no service"),
    ],
)
def test_with_one_upstream_everything_leads_to_it(tmp_path, service, method, target, route):
    parts = build(options(tmp_path, "only", service=service))
    assert route_of(parts, method, target) == (route, "upstream_refused")


def test_with_several_upstreams_what_no_route_matches_is_refused(tmp_path):
    parts = build(options(tmp_path, "one", "two", routes=[Route("mine", "two", path="/mine")]))
    assert route_of(parts, "GET", b"/else") == ("", "no_upstream")


def test_with_several_upstreams_routes_say_where(tmp_path):
    parts = build(options(tmp_path, "one", "two", routes=[Route("mine", "two", path="/mine")]))
    assert route_of(parts, "GET", b"/mine") == ("mine", "upstream_refused")


def test_the_operators_routes_replace_the_services(tmp_path):
    parts = build(options(tmp_path, "only", routes=[Route("mine", "only", path="/**/file")]))
    assert route_of(parts, "PUT", IMAGE_FILE) == ("mine", "upstream_refused")


def test_admin_shares_the_drain(tmp_path):
    async def story() -> list[int]:
        transport = httpx.ASGITransport(parts.admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
            statuses = [(await admin.get("/healthz")).status_code]
            client = FakeClient()
            parts.drain.begin()
            await parts.application(scope_of(), client.receive, client.send)
            assert client.code == "draining"
            statuses.append((await admin.get("/readyz")).status_code)
            return statuses

    parts = build(options(tmp_path, "only"))
    try:
        assert run(story()) == [200, 503]
    finally:
        parts.close()


def test_two_builds_share_nothing(tmp_path):
    async def story() -> None:
        one.drain.begin()
        client = FakeClient()
        await two.application(scope_of(), client.receive, client.send)
        assert client.code == "upstream_refused"

    one, two = build(options(tmp_path, "only")), build(options(tmp_path, "only"))
    try:
        run(story())
    finally:
        one.close()
        two.close()


def test_a_spool_that_is_not_there(tmp_path):
    with pytest.raises(DiskError):
        build(options(tmp_path / "missing", "only"))


# -- an application in this process -----------------------------------------------------------------------


def inside(folder: Path) -> ProxyOptions:
    upstream = UpstreamSpec("inside", (parse_upstream("wsgi:made_for_build:application"),), "/image")
    return ProxyOptions(folder, [upstream], service="none", access_log=False)


@pytest.fixture
def thawed():
    """What building took from the garbage collector goes back to it."""
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("size", [6, 1 << 20], ids=["memory", "file"])
def test_the_whole_way_to_an_application_in_this_process(tmp_path, monkeypatch, size):
    def application(environ, start_response):
        told.append({name: value for name, value in environ.items() if "." not in name})
        start_response("201 Created", [("Content-Type", "text/plain"), ("Connection", "close")])
        return [hashlib.sha256(environ["wsgi.input"].read()).digest()]

    async def story() -> None:
        fields = ((b"transfer-encoding", b"chunked"), (b"content_length", b"3"), (b"proxy", b"x"))
        await parts.application(scope_of("PUT", b"/image/v2/x%2Fy?z", fields), client.receive, client.send)
        await parts.application._proxy.upstreams["inside"].close()

    told = []
    made = types.ModuleType("made_for_build")
    made.application = application
    monkeypatch.setitem(sys.modules, made.__name__, made)
    body = bytes(range(256)) * (size // 256) or b"foobar"
    client = FakeClient(body[:3], body[3:])
    parts = build(inside(tmp_path))
    try:
        run(story())
    finally:
        parts.close()
        for thread in threads():
            thread.join(LAST_RESORT)
    assert threads() == []
    assert (client.status, client.body, client.is_answered) == (201, hashlib.sha256(body).digest(), True)
    assert b"connection" not in client.headers
    (environ,) = told
    assert environ["CONTENT_LENGTH"] == str(len(body))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/image", "/v2/x/y")
    assert environ["REQUEST_URI"] == "/image/v2/x%2Fy?z"
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_PROXY"} & environ.keys()


def test_an_application_that_is_not_there(tmp_path):
    with pytest.raises(NoUpstream, match="made_for_build:application: cannot be imported"):
        build(inside(tmp_path))
