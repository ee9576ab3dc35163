"""A service that nothing is known of: no routes, no images, nothing to ask for."""

from shim.routes.route import BodyMode
from shim.service.generic import GenericService


def test_nothing_is_known():
    service = GenericService()
    assert service.name == "none"
    assert service.default_routes("up", BodyMode.AUTO) == ()
    assert service.image_of(b"/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9") == ""
    assert service.probe_path is None
