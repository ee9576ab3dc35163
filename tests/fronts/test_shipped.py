"""Shipped configurations: a test runs what is shipped, and every line of theirs has its reason."""

import pytest

from tests.fronts.shipped import DEPLOY, exchange, read_shipped

FRONTS = ("front-apache.conf", "front-nginx.conf", "front-haproxy.cfg")


def test_each_key_is_replaced():
    assert exchange("listen 443; path /etc/a;", {"443": "9000", "/etc/a": "/tmp/b"}, "x") == (
        "listen 9000; path /tmp/b;"
    )


def test_what_is_not_there_is_a_fault():
    with pytest.raises(ValueError, match=r"x has nothing to replace like \['444'\]"):
        exchange("listen 443;", {"443": "1", "444": "2"}, "x")


@pytest.mark.parametrize("name", FRONTS)
def test_front_trusts_nothing_that_a_client_says_of_itself(name):
    text = read_shipped(name, {})
    for field in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-IP", "Forwarded"):
        assert field in text


@pytest.mark.parametrize("name", FRONTS)
def test_front_names_what_the_shim_must_trust(name):
    assert 'server.trusted_proxies = ["127.0.0.1/32"]' in (DEPLOY / name).read_text()
