"""Two Glance nodes as tempest wants them: one database, the same stores, but staging and cache of their own.

Everything of the image API that needs no other service is switched on, so that as many tests as possible run.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.addresses import free_port
from shim.demo.configuration import Settings
from shim.demo.environment import Environment
from shim.demo.glance import Glance
from shim.demo.hosting import Kind, Server
from shim.demo.processes import Process, own_variables
from shim.timing import Seconds
from tests.identity.api import Identity
from tests.identity.site import make_glance

_LOAD_LIMIT: Seconds = 180.0
_FLAVOR = "keystone+cachemanagement"
# Of a second file store; the demo's settings have the first, ``files``.
_SECOND_STORE = "more"
# tempest expects a store with this name.
_HTTP_STORE = "web"


@dataclass(frozen=True, slots=True)
class Nodes:
    """Two running nodes of one Glance.

    Attributes:
        primary: Whose address the catalog has for ``image``.
        alternate: Through which what was staged at the primary is imported, and the other way round.
    """

    primary: Server
    alternate: Server


@contextlib.contextmanager
def start_nodes(directory: Path, identity: Identity, environment: Environment, kind: Kind) -> Iterator[Nodes]:
    """Start both nodes on a new database below ``directory``."""
    with contextlib.ExitStack() as ends:
        servers = []
        for name in ("primary", "alternate"):
            # Nodes find each other by this address; the server listens there besides its main address.
            port = free_port()
            settings = node_settings(directory, name, f"http://127.0.0.1:{port}")
            glance = make_glance(directory / name, identity, environment, flavor=_FLAVOR, settings=settings)
            ends.enter_context(glance)
            if name == "primary":
                load_definitions(glance)
            option = "--bind" if kind == "gunicorn" else "--http-socket"
            more = [] if kind == "gunicorn" else ["--add-header", "Connection: close"]
            servers.append(glance.serve(kind, arguments=[option, f"127.0.0.1:{port}", *more]))
        yield Nodes(*servers)


def load_definitions(glance: Glance) -> None:
    """Put Glance's own metadata definitions into its database: tests expect some to be there.

    Raises:
        DemoError: It could not be done.
    """
    program, files = glance.environment.program("glance-manage"), glance.environment.directory / "etc/glance"
    configuration = glance.directory / "etc/glance-api.conf"
    command = [program, "--config-file", configuration, "db", "load_metadefs", files / "metadefs"]
    load = Process.start(command, log=glance.directory / "log/definitions.log", variables=own_variables())
    if load.finish(_LOAD_LIMIT):
        raise DemoError(f"glance-manage db load_metadefs failed:\n{load.tail()}")


def node_settings(directory: Path, name: str, address: str) -> Settings:
    """What differs from the demo's glance-api.conf."""
    for store in ("files", _SECOND_STORE):
        (directory / store).mkdir(parents=True, exist_ok=True)
    cache = directory / name / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "DEFAULT": {
            "enabled_import_methods": "[glance-direct,web-download,copy-image,glance-download]",
            "enabled_backends": f"files:file,{_SECOND_STORE}:file,{_HTTP_STORE}:http",
            "worker_self_reference_url": address,
            "image_cache_dir": str(cache),
            # Without it locations are neither shown nor taken.
            "show_multiple_locations": "true",
        },
        "database": {"connection": f"sqlite:///{directory}/glance.sqlite?timeout=60"},
        # tempest compares an image's stores with their sorted names, and Glance sorts them by weight.
        "files": {"filesystem_store_datadir": str(directory / "files"), "weight": "20"},
        _SECOND_STORE: {"filesystem_store_datadir": str(directory / _SECOND_STORE), "weight": "10"},
        _HTTP_STORE: {},
        # Our web server has any port; by default only 80 and 443 are allowed.
        "import_filtering_opts": {"allowed_ports": "[]"},
    }
