"""What people put in front of Glance without a shim: nginx and Apache, set up as is recommended.

Each is given a hosting's URL and speaks its protocol; each buffers bodies, and so should give them a length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shim.demo.addresses import answers, free_port, start_on_free_port, wait_until
from shim.demo.processes import Process, Service, own_variables
from tests.fronts.nginx import NGINX, nginx_command
from tests.hosting import apache

START = 30.0
"""Seconds that a peer may take to start on a busy machine."""

SECONDS = 8
"""How long a peer waits for an answer: less than the defaults, and than our patience with a client."""


@dataclass(frozen=True)
class Peer:
    """A kind of server in front.

    Attributes:
        program: Its binary in Debian.
        start: Starts it in a folder before an upstream URL; gives its own URL and what to end.
        speaks: What it can have behind it, by the beginning of the URL.
    """

    program: Path
    start: Callable[[Path, str], tuple[str, Service]]
    speaks: tuple[str, ...] = ("uwsgi", "http")

    def fits(self, upstream: str) -> bool:
        """Whether it can stand in front of that URL, here."""
        return upstream.startswith(self.speaks) and self.program.exists()


# -- nginx ------------------------------------------------------------------------------------------------


def _start_nginx(folder: Path, upstream: str, more: str = "") -> tuple[str, Service]:
    folder.mkdir(parents=True)

    def start() -> tuple[str, Service]:
        port = free_port()
        site = (
            f"    server {{\n        listen 127.0.0.1:{port};\n        client_max_body_size 0;\n"
            f"        location / {{\n{_nginx_location(upstream)}{more}        }}\n    }}"
        )
        command = nginx_command(folder, site)
        process = Process.start(command, log=folder / "nginx.log", variables=own_variables())
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url), process, name="nginx", limit=START)
        except BaseException:
            process.stop(grace=1.0)
            raise
        return url, Service(process)

    return start_on_free_port(start)


def _nginx_location(upstream: str) -> str:
    """Buffered, as nginx does by default; with its own list of variables, which lacks SCRIPT_NAME."""
    scheme, _, address = upstream.partition("://")
    place = f"unix:{address}" if scheme.endswith("+unix") else address
    if scheme.startswith("uwsgi"):
        return (
            "            include /etc/nginx/uwsgi_params;\n"
            '            uwsgi_param SCRIPT_NAME "";\n'
            f"            uwsgi_pass {place};\n            uwsgi_read_timeout {SECONDS}s;\n"
        )
    return (
        "            include /etc/nginx/proxy_params;\n"
        f"            proxy_pass http://{place};\n            proxy_read_timeout {SECONDS}s;\n"
    )


def _start_nginx_without_coding(folder: Path, upstream: str) -> tuple[str, Service]:
    """The one setting that mends it, and that no documentation names."""
    return _start_nginx(folder, upstream, '            uwsgi_param HTTP_TRANSFER_ENCODING "";\n')


# -- Apache -----------------------------------------------------------------------------------------------


def _start_apache(folder: Path, upstream: str) -> tuple[str, Service]:
    """With proxy-sendcl, the documented remedy for chunked bodies."""
    protocol = "uwsgi" if upstream.startswith("uwsgi") else "http"
    # Its temporary files are the bodies; it writes them as a user of its own.
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    temporary.chmod(0o777)

    def configuration(port: int) -> str:
        return (
            f"Listen 127.0.0.1:{port}\nSetEnv proxy-sendcl 1\nProxyTimeout {SECONDS}\n"
            f'ProxyPass "/" "{_apache_target(upstream, protocol)}" retry=0\n'
        )

    running = apache.start_apache(
        folder,
        ("proxy", f"proxy_{protocol}"),
        configuration,
        variables=own_variables(TMPDIR=str(temporary)),
        is_ready=lambda port: answers(f"http://127.0.0.1:{port}"),
    )
    return f"http://127.0.0.1:{running.port}", running


def _apache_target(upstream: str, protocol: str) -> str:
    scheme, _, address = upstream.partition("://")
    if not scheme.endswith("+unix"):
        return f"{protocol}://{address}/"
    # mod_proxy joins the rest of the path to this as it stands; the name only tells servers apart.
    return f"unix:{address}|{protocol}://{'glance' if protocol == 'uwsgi' else 'localhost'}/"


PEERS: dict[str, Peer] = {
    "nginx": Peer(NGINX, _start_nginx),
    "Apache, proxy-sendcl": Peer(apache.PROGRAM, _start_apache),
    'nginx, HTTP_TRANSFER_ENCODING ""': Peer(NGINX, _start_nginx_without_coding, speaks=("uwsgi",)),
}
"""All of them, by what they are called in the tables."""
