"""From settings to the options of the parts: what an operator writes arrives where it has its effect."""

from dataclasses import replace
from pathlib import Path

from shim.admission.room import QueueOptions
from shim.app.tracing import TraceOptions
from shim.cloud.address import SharedAddress
from shim.cloud.member import MemberOptions
from shim.cloud.values import CloudLimits, OnLoss
from shim.config.assemble import proxy_options, run_options
from shim.config.settings import Settings
from shim.routes.route import HeaderPattern, Terms
from shim.server.certificates import TlsFiles
from shim.service.glance import GlanceOptions
from shim.service.service_account import ServiceAccount
from shim.service.upload import UploadOptions
from shim.timing import UNLIMITED
from tests.support.series import series

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


def test_a_route_and_its_terms():
    own = {"path": "/a", "queue": "5s", "response": "auto", "send": "unlimited", "min_rate": 0}
    options = options_of(
        routes=[
            own,
            {"path": "/b", "cut_through_stall": "1s", "headers": {"X-Kind": "a*"}, "at_least": "1KiB"},
        ],
        timeouts={"response": "9s", "queue_body": "7s"},
    )
    one, other = options.routes
    assert one.terms.waits == QueueOptions(without_body=5, with_body=7)
    assert one.terms.timeouts == replace(options.timeouts, response=None, send=UNLIMITED)
    assert one.terms.pace == replace(options.pace, min_rate=0)
    assert one.terms.stall is None
    assert other.terms == Terms(stall=1)
    assert (other.headers, other.at_least, other.at_most) == ((HeaderPattern("x-kind", "a*"),), 1024, None)


@series(
    ("group", "probe"),
    [
        ({"servers": ["http://a"]}, UNLIMITED),
        ({"servers": ["http://a", "http://b"]}, 10),
        ({"servers": ["http://a", "http://b"], "probe": "off"}, UNLIMITED),
        ({"servers": ["http://a"], "resolve": "30s"}, 10),
        ({"servers": ["http://10.0.0.1"], "resolve": "30s"}, UNLIMITED),
    ],
)
def test_only_where_there_is_another_server_are_they_probed(group, probe):
    settings = Settings.model_validate({"upstreams": {"glance": group}})
    assert proxy_options(settings).upstreams[0].group.probe == probe


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


def test_who_looks_on():
    assert (options_of().access_log, options_of().traces) == (True, None)
    assert options_of(log={"access": "combined"}).access_log == "combined"
    given = {"endpoint": "http://h:4318", "sample": 0.5, "service_name": "images"}
    assert options_of(traces=given).traces is None
    assert options_of(traces={"enabled": True}).traces == TraceOptions()
    assert options_of(traces={"enabled": True, **given}).traces == TraceOptions(
        "http://h:4318", 0.5, "images"
    )


def test_limits_of_a_cloud():
    assert options_of().cloud is None
    table = {"name": "prod", "max_uploads": 9, "max_spool_per_project": "1KiB", "on_loss": "refuse"}
    cloud = options_of(limits={"shared": "redis://h", "cloud": {**table, "lease": "3s"}}).cloud
    assert (cloud.access.address, cloud.access.timeout, cloud.name) == (SharedAddress("h"), 0.5, "prod")
    assert cloud.member == MemberOptions(CloudLimits(9, UNLIMITED, 1024), 3, OnLoss.REFUSE)
