"""The options: their defaults as values, what each takes, and what each refuses."""

import ipaddress
import re
from pathlib import Path

import pydantic
import pytest

from shim.cloud.address import SharedAddress
from shim.config.behind import RouteOptions, UpstreamOptions
from shim.config.bounds import TimeoutOptions
from shim.config.kinds import Kind
from shim.config.listening import ServerOptions
from shim.config.settings import SINGLE_UPSTREAM, Settings
from shim.config.shape import all_keys, table_at, table_of
from shim.config.units import Share
from shim.routes.route import BodyMode
from shim.server.addresses import InheritedSocket, TcpAddress, UnixAddress
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.stats import parse_stats
from shim.wire.peer import TrustedProxies
from tests.support.series import series

# As the manual has them: a change here changes what operators rely on.
DEFAULTS = {
    "upstream": None,
    "body": BodyMode.AUTO,
    "service": "glance",
    "server.listen": (TcpAddress("127.0.0.1", 9292),),
    "server.workers": 1,
    "server.state_directory": None,
    "server.reuse_port": False,
    "server.socket_mode": 0o660,
    "server.trusted_proxies": (),
    "server.proxy_protocol": False,
    "server.fast": True,
    "limits.max_head": 64 * 1024,
    "limits.max_connections": 10000,
    "limits.max_connections_per_address": UNLIMITED,
    "limits.max_uploads": 1000,
    "limits.queue": 1000,
    "limits.max_uploads_per_project": UNLIMITED,
    "limits.min_rate": 1024,
    "limits.min_rate_grace": 30,
    "limits.shared": None,
    "limits.cloud.name": "default",
    "limits.cloud.max_uploads": UNLIMITED,
    "limits.cloud.max_uploads_per_project": UNLIMITED,
    "limits.cloud.max_spool_per_project": UNLIMITED,
    "limits.cloud.on_loss": "local",
    "limits.cloud.lease": 30,
    "limits.cloud.timeout": 0.5,
    "limits.cloud.password_file": None,
    "limits.cloud.ca_file": None,
    "admin.listen": (TcpAddress("127.0.0.1", 9293),),
    "admin.token": None,
    "log.format": "auto",
    "log.level": "info",
    "log.access": True,
    "traces.enabled": False,
    "traces.endpoint": None,
    "traces.sample": 1.0,
    "traces.service_name": None,
    "spool.directory": Path("/tmp"),
    "spool.memory_limit": 256 * 1024,
    "spool.max_body": 1024**4,
    "spool.max_total": Share(80),
    "spool.max_per_project": UNLIMITED,
    "spool.min_free": Share(5),
    "spool.max_response": 1024**3,
    "spool.encryption": False,
    "timeouts.header": 30,
    "timeouts.body_idle": 60,
    "timeouts.body_total": UNLIMITED,
    "timeouts.queue": 60,
    "timeouts.queue_body": 3600,
    "timeouts.connect": 5,
    "timeouts.connect_retry": 10,
    "timeouts.cut_through_stall": 30,
    "timeouts.send": 60,
    "timeouts.response": "auto",
    "timeouts.response_idle": 60,
    "timeouts.keepalive": 75,
    "timeouts.drain": 600,
    "timeouts.drain_delay": 0,
    "timeouts.linger": 30,
    "glance.look": True,
    "glance.delete_stuck": False,
}

TAKEN = [
    ("body", "spool", BodyMode.SPOOL),
    ("service", "none", "none"),
    ("server.listen", ["unix:/run/s", "fd:3"], (UnixAddress("/run/s"), InheritedSocket(3))),
    ("server.socket_mode", "600", 0o600),
    ("server.workers", "3", 3),
    ("server.state_directory", "/run/shim", Path("/run/shim")),
    ("spool.max_per_project", "25%", Share(25)),
    ("spool.max_per_project", "1GiB", 1024**3),
    ("limits.max_uploads_per_project", 3, 3),
    ("limits.max_connections_per_address", 20, 20),
    ("server.trusted_proxies", ["unix", "10.0.0.0/8"], ("unix", ipaddress.ip_network("10.0.0.0/8"))),
    ("limits.max_head", 4096, 4096),
    ("limits.max_connections", "unlimited", UNLIMITED),
    ("limits.max_uploads", "17", 17),
    ("limits.queue", "unlimited", UNLIMITED),
    ("limits.min_rate", 0, 0),
    ("limits.shared", "redis://h", SharedAddress("h")),
    ("limits.cloud.max_spool_per_project", "1TiB", 1024**4),
    ("admin.listen", "[::1]:9293", (TcpAddress("::1", 9293),)),
    ("admin.listen", ["[::1]:9293", "unix:/a"], (TcpAddress("::1", 9293), UnixAddress("/a"))),
    ("admin.listen", [], ()),
    ("log.access", "false", False),
    ("log.access", "off", False),
    ("log.access", "combined", "combined"),
    ("traces.sample", "0.25", 0.25),
    ("glance.look", "on", True),
    ("spool.directory", "/srv/spool", Path("/srv/spool")),
    ("spool.memory_limit", "0B", 0),
    ("spool.max_body", "unlimited", UNLIMITED),
    ("spool.max_total", "10GiB", 10 * 1024**3),
    ("spool.min_free", 0, 0),
    ("timeouts.header", "1500ms", 1.5),
    ("timeouts.response", "6h", 21600),
    ("timeouts.response", "unlimited", UNLIMITED),
    ("timeouts.queue", "90s", 90),
    ("timeouts.queue_body", "unlimited", UNLIMITED),
    ("timeouts.connect_retry", "0s", 0),
]

ACCOUNT = {"username": "shim", "password": "se cret"}

REFUSED = [
    ("upstream", "wsgi:glance.wsgi.api", "name a module and a callable in it"),
    ("upstream", "uwsgi://h", "'uwsgi://h': the port is missing"),
    ("upstream", "http://h\n:80", "characters that cannot be printed"),
    ("upstream", 3, "3: write text, in quotes"),
    ("body", "buffer", "'auto', 'spool', 'stream' or 'handoff'"),
    ("service", "cinder", "'glance' or 'none'"),
    ("server.listen", [], "must not be empty"),
    ("server.listen", ["localhost"], "'localhost': the port is missing"),
    ("server.socket_mode", 660, "660: write text, in quotes"),
    ("server.socket_mode", "0999", "'0999': not a file mode; write it in octal"),
    ("server.socket_mode", "01777", "not a file mode"),
    ("server.trusted_proxies", ["10.0.0.1/8"], "for the network write '10.0.0.0/8'"),
    ("server.trusted_proxies", ["lb1"], "'lb1': not a network"),
    ("limits.max_head", 0, "0: must be more than 0"),
    ("limits.max_head", "unlimited", "'unlimited' is not possible here"),
    ("limits.max_connections", 0, 'for no limit write "unlimited"'),
    ("limits.queue", 0, 'for no limit write "unlimited"'),
    ("limits.max_uploads", "all", "'all': not a count"),
    ("limits.min_rate", "unlimited", "'unlimited' is not possible here"),
    ("limits.shared", 3, "write text, in quotes"),
    ("limits.shared", "http://valkey", "not the URL of a Valkey or Redis server"),
    ("limits.cloud.on_loss", "ignore", "'local' or 'refuse'"),
    ("limits.cloud.max_spool_per_project", "80%", "unknown unit '%'"),
    ("limits.min_rate_grace", 0, "must be more than 0"),
    ("log.format", "xml", "'auto', 'json' or 'text'"),
    ("log.access", "yes", "'yes': write true or false, or \"combined\""),
    ("log.access", 1, "1: write true or false"),
    ("log.access", "common", "'common': write true or false, or \"combined\""),
    ("traces.endpoint", "collector:4317", "'collector:4317': not a web address"),
    ("traces.sample", 0, "0: not a part"),
    ("glance.service_auth", {"auth_url": "keystone", **ACCOUNT}, "'keystone': not a web address"),
    *(
        ("glance.service_auth", {"auth_url": url, **ACCOUNT}, "not a web address; write it as")
        for url in (
            "http://u:p@keystone",
            "http://:p@keystone",
            "http://keystone:abc/v3",
            "http://keystone:99999/v3",
            "http://keystone:0/v3",
            "http://[::1/v3",
        )
    ),
    (
        "glance.service_auth",
        {"auth_url": "http://k", "username": "shim", "password": ""},
        "must not be empty",
    ),
    ("spool.directory", "spool", "'spool': not an absolute path"),
    ("spool.memory_limit", "unlimited", "'unlimited' is not possible here"),
    ("spool.max_body", "80%", "unknown unit '%'"),
    ("spool.max_total", "0%", 'for no limit write "unlimited"'),
    ("spool.min_free", "unlimited", "'unlimited' is not possible here"),
    ("timeouts.header", "unlimited", "'unlimited' is not possible here"),
    ("timeouts.body_idle", "0s", 'for no limit write "unlimited"'),
    ("timeouts.body_idle", "auto", "'auto': not a duration"),
    ("timeouts.response", 0, 'for no limit write "unlimited"'),
    ("timeouts.connect", 0, "must be more than 0"),
    ("upstreams", {"a.b": {"servers": ["http://h"]}}, "'a.b': not a name"),
    ("upstreams", {"a": {"servers": []}}, "must not be empty"),
    (
        "upstreams",
        {"a": {"servers": ["http://h"], "mount": "image"}},
        "starts with / and does not end with one",
    ),
    (
        "upstreams",
        {"a": {"servers": ["http://h"], "mount": "/image/"}},
        "starts with / and does not end with one",
    ),
    ("upstreams", {"a": {"servers": ["http://h"], "mount": "/"}}, "starts with / and does not end with one"),
    ("routes", [{"path": "v2"}], "'v2': not a path; start it with /"),
    ("routes", [{"path": "/v2?a"}], "not a path"),
    ("routes", [{"path": "/", "methods": ["put"]}], "'put': not a method"),
    ("routes", [{"path": "/", "body": "hand-off"}], "'auto', 'spool', 'stream' or 'handoff'"),
    ("routes", [{"path": "/", "upstream": "-"}], "'-': not a name"),
]


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def at(settings, key):
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


@series(("key", "value"), DEFAULTS.items())
def test_default(key, value):
    assert at(Settings(), key) == value


def test_every_option_has_its_default_in_the_table_above():
    assert [*all_keys()] == [*DEFAULTS]
    assert Settings().upstreams == {}
    assert Settings().routes == ()


@series(("key", "value", "expected"), TAKEN)
def test_taken(key, value, expected):
    assert at(Settings.model_validate(nested(key, value)), key) == expected


@series(("key", "value", "message"), REFUSED)
def test_refused_with_what_to_write(key, value, message):
    with pytest.raises(pydantic.ValidationError) as error:
        Settings.model_validate(nested(key, value))
    assert [message in details["msg"] for details in error.value.errors()] == [True]


@series("key", [*all_keys(), "upstreams", "routes"])
def test_every_option_has_a_reason(key):
    *table, name = key.split(".")
    assert len(table_at(table).model_fields[name].description) > 20


@pytest.mark.parametrize("model", [Settings, ServerOptions, TimeoutOptions])
def test_settings_are_frozen(model):
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(model(), next(iter(model.model_fields)), None)


def test_defaults_are_written_in_the_shortest_form():
    for table, field in Settings.model_fields.items():
        model = table_of(field.annotation)
        if model is field.annotation:
            assert_written_shortly(getattr(Settings(), table), model)


def assert_written_shortly(options, model):
    for name, field in model.model_fields.items():
        if table_of(field.annotation) is field.annotation:
            assert_written_shortly(getattr(options, name), field.annotation)
        else:
            assert options.model_dump(mode="json")[name] == field.default


def test_settings_can_be_made_of_values():
    address = parse_upstream("uwsgi://h:3031")
    settings = Settings(upstream=address, server=ServerOptions(listen=(TcpAddress("h", 1),)))
    assert settings.upstream is address
    assert settings.server.listen == (TcpAddress("h", 1),)


SIZES = [
    ("max_inflight", "auto", "auto"),
    ("max_inflight", 8, 8),
    ("max_inflight", "8", 8),
    ("max_inflight", "unlimited", UNLIMITED),
    ("max_uploads", 2, 2),
    ("probe", "off", UNLIMITED),
    ("probe", "500ms", 0.5),
    ("balance", "sticky", "sticky"),
    ("weights", [2, "1"], (2, 1)),
    ("stats", "127.0.0.1:9191", parse_stats("127.0.0.1:9191")),
    ("stats", "/run/stats.sock", parse_stats("/run/stats.sock")),
    ("stats", "http://h:9191", parse_stats("http://h:9191")),
    ("upload_share", 1, 1),
    ("upload_share", "0.5", 0.5),
]
NO_SIZES = [
    ("probe", "never", 'or write "off"'),
    ("probe", 0, 'must be more than 0; or write "off"'),
    ("weights", [0], "must be more than 0"),
    ("balance", "random", "should be 'least-inflight', 'round-robin'"),
    ("max_inflight", 0, 'for no limit write "unlimited"'),
    ("max_inflight", 1.5, "1.5: not a count"),
    ("max_inflight", "many", "'many': not a count"),
    ("stats", "127.0.0.1", "'127.0.0.1': write HOST:PORT"),
    ("stats", "https://h:9191", "speaks plain HTTP"),
    ("stats", 9191, "9191: write text, in quotes"),
    ("upload_share", 0, "more than 0 and at most 1"),
    ("upload_share", 1.01, "more than 0 and at most 1"),
    ("upload_share", "75%", "'75%': not a part"),
    ("upload_share", True, "True: not a part"),
]


@series(("name", "value", "expected"), SIZES)
def test_the_size_of_an_upstream(name, value, expected):
    assert getattr(UpstreamOptions(servers=["http://h"], **{name: value}), name) == expected


@series(("name", "value", "message"), NO_SIZES)
def test_no_size_of_an_upstream(name, value, message):
    with pytest.raises(pydantic.ValidationError, match=re.escape(message)):
        UpstreamOptions(servers=["http://h"], **{name: value})


def test_a_single_upstream_is_a_group_of_one():
    settings = Settings(upstream="uwsgi://h:3031")
    assert settings.upstream_groups == {SINGLE_UPSTREAM: UpstreamOptions(servers=["uwsgi://h:3031"])}


def test_named_upstreams_are_the_groups():
    group = UpstreamOptions(servers=["uwsgi://h:3031"], mount="/image")
    assert Settings(upstreams={"glance": group}).upstream_groups == {"glance": group}


def test_no_upstream_is_no_group():
    assert Settings().upstream_groups == {}


def test_a_route_leaves_open_what_it_does_not_say():
    route = RouteOptions(path="/**")
    assert (route.name, route.methods, route.upstream, route.body) == (None, (), None, None)


def test_trusted_proxies_as_forwarding_takes_them():
    options = ServerOptions(trusted_proxies=["unix", "10.0.0.0/8", "fd00::/8"])
    assert options.trusted == TrustedProxies(
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")), unix=True
    )
    assert ServerOptions().trusted == TrustedProxies()


def test_kinds_are_compared_by_identity():
    kind = Kind("size", int, str, {})
    assert kind != Kind("size", int, str, {})
    assert hash(kind)
