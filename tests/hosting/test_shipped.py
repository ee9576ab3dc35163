"""The shipped files agree with each other, with the demo's servers, and with the documentation."""

import configparser
import re
import tomllib

import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import Application, server_command
from tests.fronts.shipped import DEPLOY, read_shipped
from tests.support.shim import ROOT

SOCKET = "/run/glance/api.sock"
LIMIT = 3600
"""Seconds that every server gives a request: 175 GiB at 50 MiB/s."""


def uwsgi_options() -> dict[str, str]:
    """Those in force, as key and value."""
    lines = (DEPLOY / "uwsgi.ini").read_text().splitlines()
    return dict(line.split(" = ", 1) for line in lines if re.match("[a-z]", line))


def unit(name: str) -> configparser.SectionProxy:
    """The [Service] of a unit, as it is beside one Glance."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read([
        DEPLOY / "systemd" / f"{name}.service",
        DEPLOY.parent / "systemd" / f"{name}.service",
        DEPLOY.parent / "systemd" / f"{name}.service.d" / "sidecar.conf",
    ])  # fmt: skip
    return parser["Service"]


def number_after(name: str, file: str) -> int:
    found = re.search(rf"\b{name}\s*=\s*(\d+)\b", (DEPLOY / file).read_text())
    assert found, f"{name} in {file}"
    return int(found[1])


@pytest.mark.parametrize(("file", "names"), [
    ("uwsgi.ini", ["harakiri", "worker-reload-mercy", "http-timeout"]),
    ("gunicorn.conf.py", ["timeout", "graceful_timeout"]),
    ("apache-mod-wsgi.conf", ["request-timeout", "graceful-timeout", "socket-timeout"]),
])  # fmt: skip
def test_every_server_gives_a_request_the_same_time(file: str, names: list[str]):
    assert [number_after(name, file) for name in names] == [LIMIT] * len(names)


def test_systemd_waits_longer_than_what_it_stops():
    assert int(unit("glance-uwsgi")["TimeoutStopSec"]) > LIMIT


def test_everybody_means_the_same_socket():
    sidecar = tomllib.loads((ROOT / "config/examples/sidecar.toml").read_text())
    gunicorn: dict[str, object] = {}
    exec((DEPLOY / "gunicorn.conf.py").read_text(), gunicorn)
    assert uwsgi_options()["socket"] == SOCKET
    assert gunicorn["bind"] == f"unix:{SOCKET}"
    assert sidecar["upstream"] == f"uwsgi+unix://{SOCKET}"
    assert f"/run/{unit('glance-uwsgi')['RuntimeDirectory']}/" in SOCKET
    assert unit("glance-shim")["SupplementaryGroups"] == unit("glance-uwsgi")["Group"]


def test_the_spool_of_the_example_is_a_directory_of_the_unit():
    sidecar = tomllib.loads((ROOT / "config/examples/sidecar.toml").read_text())
    directories = unit("glance-shim")["StateDirectory"].split()
    assert sidecar["spool"]["directory"] in [f"/var/lib/{name}" for name in directories]


def test_the_unit_reloads_by_the_fifo_of_the_file():
    assert uwsgi_options()["master-fifo"] in unit("glance-uwsgi")["ExecReload"]


def test_the_demo_runs_uwsgi_with_the_same_settings(tmp_path):
    (tmp_path / "bin").mkdir()
    for program in ("uwsgi", "python"):
        (tmp_path / "bin" / program).touch()
    application = Application(Environment(tmp_path), tmp_path, "server", "glance.wsgi.api:application", {})
    words = [str(word) for word in server_command(
        application, {"uwsgi-unix": f"uwsgi+unix://{SOCKET}"}, workers=4, threads=1
    )]  # fmt: skip
    options = uwsgi_options()
    switches = {word.removeprefix("--") for word in words if word.startswith("--")}
    demo_only = {"binary-path"}
    assert switches - demo_only <= options.keys()
    assert words[words.index("--buffer-size") + 1] == options["buffer-size"]
    assert words[words.index("--module") + 1] == options["module"]


def test_an_exchange_without_its_object_is_refused():
    with pytest.raises(ValueError, match="nothing to replace"):
        read_shipped("uwsgi.ini", {"no such line": ""})


def test_the_documentation_names_every_file():
    told = (ROOT / "docs/hosting.md").read_text()
    files = [path.name for path in DEPLOY.rglob("*") if path.is_file() and "front" not in path.name]
    assert [name for name in files if name not in told] == []
