"""What is known of Glance: the routes of image data, the image in a path, the health check."""

import pytest

from shim.routes.route import BodyMode, Route
from shim.routes.table import RouteTable
from shim.service.glance import GlanceService

IMAGE = "71c675ab-d94f-49cd-a114-e12490b328d9"
FALLBACK = Route("default", "glance")


@pytest.fixture
def service():
    return GlanceService()


@pytest.mark.parametrize("mount", ["", "/image", "/a/b"])
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", f"/v2/images/{IMAGE}/file", "image-upload"),
        ("PUT", f"/v2/images/{IMAGE}/stage", "image-stage"),
        ("GET", f"/v2/images/{IMAGE}/file", "image-download"),
        ("GET", f"/v2/images/{IMAGE}/stage", "default"),
        ("POST", f"/v2/images/{IMAGE}/file", "default"),
        ("HEAD", f"/v2/images/{IMAGE}/file", "default"),
        ("GET", f"/v2/images/{IMAGE}", "default"),
        ("GET", "/v2/images", "default"),
        ("POST", "/v2/images", "default"),
        ("PUT", f"/v2/images/{IMAGE}/file/", "default"),
        ("PUT", "/v2/images/file", "default"),
        ("PUT", f"/v2/images/{IMAGE}%2Ffile", "default"),
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


@pytest.mark.parametrize(
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


def test_the_health_check(service):
    assert service.probe_path == b"/healthcheck"
    assert service.name == "glance"
