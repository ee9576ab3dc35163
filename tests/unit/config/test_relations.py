"""What must hold between options: each pair that does not fit, and those that only look as if."""

import pytest

from shim.config.faults import dotted
from shim.config.relations import NO_UPSTREAM, relation_faults
from tests.support.series import series

GLANCE = {"glance": {"servers": ["http://h"]}}
TWO = GLANCE | {"volumes": {"servers": ["http://h"]}}

FIT = [
    {"upstream": "http://h"},
    {"upstreams": GLANCE},
    {"upstreams": GLANCE, "routes": [{"path": "/"}]},
    {"upstreams": GLANCE, "routes": [{"path": "/", "upstream": "glance"}]},
    {"upstreams": TWO, "routes": [{"path": "/", "upstream": "volumes"}]},
    {"upstream": "http://h", "routes": [{"path": "/", "upstream": "default"}]},
    {"upstream": "http://h", "upstreams": {}},
    {"upstream": "http://h", "server": {"listen": ["h:0"]}, "admin": {"listen": "h:0"}},
    {"upstream": "http://h", "glance": {"service_auth": {"username": "x"}, "look": True}},
    {"upstream": "http://h", "glance": {"look": False}},
    {"upstream": "http://h", "server": {"proxy_protocol": "off"}},
    {"upstream": "http://h", "server": {"proxy_protocol": True, "trusted_proxies": ["unix"]}},
    {"upstream": "http://h", "spool": {"encryption": True}},
    {"upstream": "wsgi:a:b", "spool": {"encryption": False}},
    {"upstream": "http://h", "limits": {"shared": "redis://h", "cloud": {"max_uploads": 3}}},
    {"upstream": "http://h", "limits": {"cloud": {"max_uploads": "unlimited", "lease": "10s"}}},
    {"upstream": "http://h", "limits": {"shared": "redis://u@h", "cloud": {"password_file": "/p"}}},
    {"upstreams": {"glance": {"servers": ["http://a", "http://b"], "weights": [1, 2]}}},
    {"upstreams": {"glance": {"servers": ["http://a"] * 62, "weights": []}}},
    {"upstreams": {"glance": {"servers": ["http://a"] * 3, "resolve": "30s"}}},
    # Of the wrong type: another fault says so.
    {"upstream": "http://h", "limits": {"shared": "http://h", "cloud": {"password_file": 3, "lease": "x"}}},
    {"upstream": "http://h", "limits": {"shared": 3, "cloud": 3}},
    {"upstreams": {"one": {"servers": 3}, "two": 3}, "spool": {"encryption": True}, "routes": [3]},
    {"upstream": 3, "routes": 3, "server": 3, "admin": {"listen": 3}},
    {"upstreams": GLANCE, "routes": [3, {"path": "/", "upstream": 3}]},
]

UNFIT = [
    (
        {"upstream": "http://h", "server": {"proxy_protocol": True}},
        "server.proxy_protocol",
        "needs server.tr",
    ),
    (
        {"upstream": "http://h", "server": {"proxy_protocol": "on", "trusted_proxies": []}},
        "server.proxy_protocol",
        "nobody could connect",
    ),
    ({"upstream": "wsgi:a:b", "spool": {"encryption": "on"}}, "spool.encryption", "in this process (wsgi:)"),
    (
        {"upstreams": {"one": {"servers": ["wsgi:a:b"]}}, "spool": {"encryption": True}},
        "spool.encryption",
        "in this process (wsgi:)",
    ),
    (
        {"upstreams": {"glance": {"servers": ["http://a", "http://b"], "weights": [1]}}},
        "upstreams.glance.weights",
        "has 1 numbers for 2 servers",
    ),
    (
        {"upstreams": {"glance": {"servers": ["http://a"] * 4, "resolve": 30}}},
        "upstreams.glance.servers",
        "has 4 of 16 addresses each; 62 together are possible",
    ),
    ({}, "upstream", NO_UPSTREAM),
    ({"upstreams": {}}, "upstream", NO_UPSTREAM),
    ({"upstream": "http://h", "upstreams": GLANCE}, "upstream", "set one or the other"),
    ({"upstreams": TWO}, "routes", '[[routes]] path = "/**", upstream = "glance"'),
    ({"upstreams": TWO, "routes": []}, "routes", "with several upstreams say what goes where"),
    ({"upstreams": TWO, "routes": [{"path": "/"}]}, "routes[0].upstream", "name one of glance, volumes"),
    (
        {"upstreams": TWO, "routes": [{"path": "/", "upstream": "glanse"}]},
        "routes[0].upstream",
        "unknown upstream 'glanse'; did you mean 'glance'?",
    ),
    (
        {"upstreams": TWO, "routes": [{"upstream": "glance"}, {"upstream": "x"}]},
        "routes[1].upstream",
        "unknown upstream 'x'; known are glance, volumes",
    ),
    (
        {"upstream": "http://h", "routes": [{"path": "/", "upstream": "glance"}]},
        "routes[0].upstream",
        "unknown upstream 'glance'; leave this out: there is only one upstream",
    ),
    (
        {"upstream": "http://h", "admin": {"listen": "127.0.0.1:9292"}},
        "admin.listen",
        "'127.0.0.1:9292': is in server.listen too; take an address of its own",
    ),
    (
        {"upstream": "http://h", "server": {"listen": ["unix:/s", "127.0.0.1:9293"]}},
        "admin.listen",
        "'127.0.0.1:9293': is in server.listen too; take an address of its own",
    ),
]


UNFIT += [
    (
        {"upstream": "http://h", "limits": {"cloud": {"max_spool_per_project": "1TiB"}}},
        "limits.cloud.max_spool_per_project",
        "needs limits.shared",
    ),
    (
        {"upstream": "http://h", "limits": {"shared": "redis://u:p@h", "cloud": {"password_file": "/p"}}},
        "limits.cloud.password_file",
        "is set beside a password in limits.shared",
    ),
    (
        {"upstream": "http://h", "limits": {"shared": "redis://h", "cloud": {"lease": "1s"}}},
        "limits.cloud.lease",
        "at least 6 times limits.cloud.timeout",
    ),
]
UNFIT += [
    (
        {"upstream": "http://h", "glance": {"service_auth": {"username": "x"}, "look": look}},
        "glance.service_auth",
        "needs glance.look = true",
    )
    for look in (False, "false", "off")
]


def faults(tree, *, upstream_required=True):
    found = relation_faults(tree, upstream_required=upstream_required)
    return [(dotted(path), message) for path, message in found]


@series("tree", FIT)
def test_fit(tree):
    assert faults(tree) == []


@series(("tree", "key", "message"), UNFIT)
def test_unfit(tree, key, message):
    [(found, told)] = faults(tree)
    assert found == key
    assert message in told


def test_without_an_upstream_there_is_still_something_to_show():
    assert faults({}, upstream_required=False) == []


def test_a_route_without_any_upstream():
    tree = {"routes": [{"path": "/", "upstream": "glance"}]}
    assert faults(tree, upstream_required=False) == [
        ("routes[0].upstream", "unknown upstream 'glance'; add a table [upstreams.glance]")
    ]


def test_encryption_without_its_library(monkeypatch):
    monkeypatch.setattr("shim.config.relations.is_available", lambda: False)
    tree = {"upstream": "http://h", "spool": {"encryption": True}}
    ((path, message),) = relation_faults(tree, upstream_required=True)
    assert dotted(path) == "spool.encryption"
    assert "pip install glance-shim[encryption]" in message


@pytest.mark.parametrize("enabled", [True, "on", False])
def test_traces_without_their_library(monkeypatch, enabled):
    monkeypatch.setattr("shim.app.tracing.is_available", lambda: False)
    faults = [
        *relation_faults({"upstream": "http://h", "traces": {"enabled": enabled}}, upstream_required=True)
    ]
    assert [dotted(path) for path, _ in faults] == (["traces.enabled"] if enabled else [])
    assert all("pip install glance-shim[traces]" in message for _, message in faults)


def test_shared_limits_without_their_library(monkeypatch):
    monkeypatch.setattr("shim.config.cloud_relations.is_available", lambda: False)
    tree = {"upstream": "http://h", "limits": {"shared": "redis://h"}}
    ((path, message),) = relation_faults(tree, upstream_required=True)
    assert dotted(path) == "limits.shared"
    assert "pip install glance-shim[shared]" in message
