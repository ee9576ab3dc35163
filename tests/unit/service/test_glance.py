"""What is known of Glance: the routes of image data, the image in a path, the health check."""

import pytest

from shim.routes.route import BodyMode, Route
from shim.routes.table import RouteTable
from shim.service.glance import LONGEST_JSON, GlanceService
from shim.timing import UNLIMITED
from shim.upstream.message import UpstreamRequest
from tests.fakes.loops import run_leaping
from tests.fakes.stream import FakeNetwork, FakeStream, answer
from tests.fakes.uploads import upstream_over
from tests.support.series import series

IMAGE = "71c675ab-d94f-49cd-a114-e12490b328d9"
FALLBACK = Route("default", "glance")


@pytest.fixture
def service():
    return GlanceService()


@series("mount", ["", "/image", "/a/b"])
@series(
    ("method", "path", "name"),
    [
        ("PUT", f"/v2/images/{IMAGE}/file", "image-upload"),
        ("PUT", f"/v2/images/{IMAGE}/stage", "image-stage"),
        ("GET", f"/v2/images/{IMAGE}/file", "image-download"),
        ("GET", f"/v2/images/{IMAGE}/stage", "api"),
        ("POST", f"/v2/images/{IMAGE}/file", "api"),
        ("HEAD", f"/v2/images/{IMAGE}/file", "api"),
        ("GET", f"/v2/images/{IMAGE}", "api"),
        ("GET", "/v2/images", "api"),
        ("POST", "/v2/images", "api"),
        ("PUT", f"/v2/images/{IMAGE}/file/", "api"),
        ("PUT", "/v2/images/file", "api"),
        ("PUT", f"/v2/images/{IMAGE}%2Ffile", "api"),
        ("PATCH", f"/v2/images/{IMAGE}", "api"),
        ("POST", "/v2/tasks", "api"),
        ("GET", "/v2", "api"),
        ("GET", "/", "default"),
        ("GET", "/healthcheck", "default"),
    ],
)
def test_default_routes(service, mount, method, path, name):
    table = RouteTable(service.default_routes("glance", BodyMode.SPOOL), fallback=FALLBACK)
    assert table.find(method, (mount + path).encode()).name == name


def test_default_routes_lead_where_they_are_told(service):
    routes = service.default_routes("behind", BodyMode.SPOOL)
    assert {(route.upstream, route.body) for route in routes} == {("behind", BodyMode.SPOOL)}


@series(
    ("path", "image"),
    [
        pytest.param(f"/v2/images/{IMAGE}", IMAGE, id="the image"),
        pytest.param(f"/v2/images/{IMAGE}/", IMAGE, id="with slash"),
        pytest.param(f"/v2/images/{IMAGE}/file", IMAGE, id="its data"),
        pytest.param(f"/v2/images/{IMAGE}/members/x", IMAGE, id="its members"),
        pytest.param(f"/image/v2/images/{IMAGE}/file", IMAGE, id="under a mount"),
        pytest.param(f"/v2/images/{IMAGE.upper()}", IMAGE.upper(), id="upper case"),
        pytest.param("/v2/images", "", id="all images"),
        pytest.param("/v2/images/", "", id="all images with slash"),
        pytest.param("/v2/images/x", "", id="no uuid"),
        pytest.param(f"/v2/images/{IMAGE[:-1]}", "", id="a digit short"),
        pytest.param(f"/v2/images/{IMAGE[:-1]}g", "", id="no hexadecimal"),
        pytest.param(f"/v1/images/{IMAGE}", "", id="version 1"),
        pytest.param(f"/v2/tasks/{IMAGE}", "", id="a task"),
        pytest.param(f"/{IMAGE}", "", id="elsewhere"),
        pytest.param("/", "", id="root"),
    ],
)
def test_image_of(service, path, image):
    assert service.image_of(path.encode()) == image


def test_only_image_data_may_be_large(service):
    limits = {route.name: route.max_body for route in service.default_routes("glance", BodyMode.AUTO)}
    assert limits.pop("api") == LONGEST_JSON
    assert set(limits.values()) == {UNLIMITED}


@pytest.mark.parametrize(
    ("method", "target", "asked"),
    [
        ("PUT", b"/v2/images/1/file", b"/v2/images/1"),
        ("PUT", b"/v2/images/1/stage", b"/v2/images/1"),
        ("PUT", b"/image/v2/images/1/file?x=1", b"/image/v2/images/1"),
        ("PUT", b"/v2/images/a%2Fb/file", b"/v2/images/a%2Fb"),
        ("POST", b"/v2/images/1/file", None),
        ("GET", b"/v2/images/1/file", None),
        ("PUT", b"/v2/images/1/members/2", None),
        ("PUT", b"/v2/images//file", None),
        ("PUT", b"/v2/images/1/file/", None),
        ("PUT", b"/v2/cache/images/1", None),
    ],
)
def test_what_is_looked_at_before_its_body(service, method, target, asked):
    network = FakeNetwork(FakeStream(answer(404)))
    upstream = upstream_over(network)
    handling = service.handle(UpstreamRequest(method, target, []), upstream)
    refusal = run_leaping(handling.admit())
    assert (None if refusal is None else refusal.status) == (None if asked is None else 404)
    assert [stream.sent.split(b" ")[:2] for stream in network.streams] == ([[b"GET", asked]] if asked else [])


def test_the_health_check(service):
    assert service.probe_path == b"/healthcheck"
    assert service.name == "glance"
