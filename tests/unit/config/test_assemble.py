"""From settings to the options of the parts: what an operator writes arrives where it has its effect."""

from pathlib import Path

from shim.cloud.address import SharedAddress
from shim.cloud.member import MemberOptions
from shim.cloud.values import CloudLimits, OnLoss
from shim.config.assemble import proxy_options, run_options
from shim.config.settings import Settings
from shim.server.certificates import TlsFiles
from shim.service.glance import GlanceOptions
from shim.service.service_token import ServiceAccount
from shim.service.upload import UploadOptions
from shim.timing import UNLIMITED

ACCOUNT = {"auth_url": "http://keystone:5000/v3", "username": "shim", "password": "se cret"}


def options_of(**settings):
    return proxy_options(Settings.model_validate({"upstream": "http://h", **settings}))


def test_glance_by_default():
    assert options_of().glance == GlanceOptions()


def test_glance():
    options = options_of(glance={"look": "off", "delete_stuck": True, "service_auth": ACCOUNT}).glance
    assert options.upload == UploadOptions(look=False, delete_stuck=True)
    assert options.account == ServiceAccount("http://keystone:5000/v3", "shim", "se cret")


def test_a_route_and_its_limit():
    one, other = options_of(routes=[{"path": "/a", "max_body": "1MiB"}, {"path": "/b"}]).routes
    assert (one.name, one.path, one.upstream, one.max_body) == ("/a", "/a", "default", 1024**2)
    assert other.max_body == UNLIMITED


def test_what_stands_before_a_connection():
    plain = run_options(Settings.model_validate({}))
    assert (plain.tls, plain.proxy_protocol) == (None, None)
    server = {
        "tls": {"certificate": "/a.pem", "key": "/a.key", "client_ca": "/b.pem"},
        "proxy_protocol": True,
        "trusted_proxies": ["10.0.0.0/8", "unix"],
    }
    options = run_options(Settings.model_validate({"server": server}))
    assert options.tls == TlsFiles(Path("/a.pem"), Path("/a.key"), Path("/b.pem"))
    assert options.proxy_protocol.trusts("10.1.2.3")
    assert options.proxy_protocol.trusts(None)
    assert not options.proxy_protocol.trusts("11.1.2.3")


def test_the_admin_token_and_encryption():
    assert (options_of().admin_token, options_of().encryption) == (None, False)
    options = options_of(admin={"token": "a-token-of-some-length"}, spool={"encryption": "on"})
    assert (options.admin_token, options.encryption) == ("a-token-of-some-length", True)


def test_limits_of_a_cloud():
    assert options_of().cloud is None
    table = {"name": "prod", "max_uploads": 9, "max_spool_per_project": "1KiB", "on_loss": "refuse"}
    cloud = options_of(limits={"shared": "redis://h", "cloud": {**table, "lease": "3s"}}).cloud
    assert (cloud.access.address, cloud.access.timeout, cloud.name) == (SharedAddress("h"), 0.5, "prod")
    assert cloud.member == MemberOptions(CloudLimits(9, UNLIMITED, 1024), 3, OnLoss.REFUSE)
