"""What stands behind, and where requests go by it: without any part of the shim being made."""

from pathlib import Path

import pytest

from shim.app.groups import UpstreamSpec
from shim.app.options import ProxyOptions
from shim.app.routing import route_table, service_of
from shim.errors import NoUpstream
from shim.routes.route import Route
from shim.service.generic import GenericService
from shim.service.glance import GlanceService
from shim.upstream.address import parse_upstream
from tests.support.series import series

IMAGE_FILE = b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file"
OWN = (Route("mine", "b", path="/mine"),)


def test_services():
    assert isinstance(service_of("glance"), GlanceService)
    assert isinstance(service_of("none"), GenericService)


@series(
    ("service", "names", "own", "target", "route"),
    [
        ("glance", "b", (), IMAGE_FILE, "image-upload"),
        ("none", "b", (), IMAGE_FILE, "default"),
        ("glance", "b", OWN, IMAGE_FILE, "default"),
        ("glance", "b", OWN, b"/mine", "mine"),
        ("glance", "ab", OWN, b"/mine", "mine"),
        # With several nobody can say where it leads, and the service's own routes know but one.
        ("glance", "ab", OWN, IMAGE_FILE, None),
        ("glance", "ab", (), IMAGE_FILE, None),
    ],
)
def test_where_a_request_goes(service, names, own, target, route):
    upstreams = [UpstreamSpec(name, (parse_upstream("uwsgi://h:1"),)) for name in names]
    table = route_table(ProxyOptions(Path(), upstreams, routes=own), service_of(service))
    if route is None:
        with pytest.raises(NoUpstream):
            table.find("PUT", target)
        return
    assert table.find("PUT", target).name == route
