"""Which service stands behind, and the routes that follow from it where the operator has given none.

Apart from ``build``, for commands that explain or check a configuration ask the same without making any part.
"""

from shim.app.options import ProxyOptions
from shim.routes.route import Route
from shim.routes.table import RouteTable
from shim.service.generic import GenericService, Service
from shim.service.glance import GlanceOptions, GlanceService


def service_of(name: str, glance: GlanceOptions | None = None) -> Service:
    """What is known of the service behind: ``glance`` or ``none``."""
    return GlanceService(glance) if name == "glance" else GenericService()


def route_table(options: ProxyOptions, service: Service) -> RouteTable:
    """The operator's routes, or the service's; with one upstream all else leads there too."""
    if len(options.upstreams) != 1:
        return RouteTable(options.routes)
    only = options.upstreams[0].name
    routes = options.routes or service.default_routes(only, options.body)
    return RouteTable(routes, fallback=Route("default", only, body=options.body))
