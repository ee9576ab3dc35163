"""What docs/deploy.md gives to copy: each piece is taken by the program that it is for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shim.config.load import load
from shim.config.sources import Flags
from tests.deploy.tools import Tools
from tests.support.shim import ROOT, START

DOCUMENT = ROOT / "docs" / "deploy.md"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
# What stands around a fragment: a server that does nothing else.
APACHE = """
ServerRoot {folder}
ServerName shim.example
PidFile {folder}/pid
ErrorLog {folder}/log
Listen 127.0.0.1:80
"""
HAPROXY = """
defaults
    timeout connect 5s
    timeout client 1m
    timeout server 1m

"""


def pieces() -> dict[str, str]:
    """The pieces by their names, out of their fences."""
    found = re.findall(
        r"^<!-- tested: (\S+) -->\n```\w+\n(.*?)^```\n<!-- tested: end -->$",
        DOCUMENT.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    return dict(found)


def taken(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_piece_is_tried_here():
    assert sorted(pieces()) == ["devstack.conf", "kolla.cfg", "kolla.toml", "openstack-helm-glance.yaml"]


def test_the_shim_takes_its_configuration(tmp_path: Path):
    file = tmp_path / "kolla.toml"
    file.write_text(pieces()["kolla.toml"])
    settings = load(file, Flags(), upstream_required=True).settings
    # HAProxy asks the port that the shim listens on.
    [listen] = settings.server.listen
    assert f" {listen} check" in pieces()["kolla.cfg"]


@pytest.mark.servers
def test_haproxy_takes_its_fragment(tmp_path: Path):
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    file = tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY + pieces()["kolla.cfg"])
    taken("haproxy", "-c", "-f", file)


@pytest.mark.servers
def test_apache_takes_its_fragment(tmp_path: Path):
    if not APACHE_MODULES.is_dir():
        pytest.skip("apache2 is not installed")
    names = ("mpm_event", "authz_core", "env", "proxy", "proxy_http")
    modules = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names]
    file = tmp_path / "apache.conf"
    file.write_text("\n".join(modules) + APACHE.format(folder=tmp_path) + pieces()["devstack.conf"])
    taken("/usr/sbin/apache2", "-t", "-f", file)


@pytest.mark.servers
def test_the_values_for_glance_fit_those_of_the_chart(tools: Tools):
    glance, ours = (
        values
        for [values] in tools.parse(
            pieces()["openstack-helm-glance.yaml"],
            (ROOT / "deploy/kubernetes/openstack-helm.yaml").read_text(),
        )
    )
    [[defaults]] = tools.parse((ROOT / "deploy/kubernetes/helm/glance-shim/values.yaml").read_text())
    slots = glance["conf"]["glance_api_uwsgi"]["uwsgi"]["processes"] * glance["pod"]["replicas"]["api"]
    # One Service stands for all of Glance's pods, and each shim has its part of their workers.
    assert ours["upstream"]["maxInflight"] * defaults["replicas"] == slots
    timeouts = load(None, Flags(), upstream_required=False).settings.timeouts
    assert glance["conf"]["glance_api_uwsgi"]["uwsgi"]["socket-timeout"] > timeouts.cut_through_stall
    grace = glance["pod"]["lifecycle"]["termination_grace_period"]["api"]["timeout"]
    assert grace > glance["conf"]["glance_api_uwsgi"]["uwsgi"]["worker-reload-mercy"]
