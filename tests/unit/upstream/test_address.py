"""Upstream URLs: every form there is, every mistake an operator makes, and back to text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.upstream.address import Protocol, UpstreamAddress, parse_upstream
from tests.support.series import series

TAKEN = [
    ("http://glance:9292", UpstreamAddress(Protocol.HTTP, host="glance", port=9292)),
    ("http://glance", UpstreamAddress(Protocol.HTTP, host="glance", port=80)),
    ("http://glance:80/", UpstreamAddress(Protocol.HTTP, host="glance", port=80)),
    ("HTTP://Glance.Example:80", UpstreamAddress(Protocol.HTTP, host="glance.example", port=80)),
    ("http://glance_api.compose:1", UpstreamAddress(Protocol.HTTP, host="glance_api.compose", port=1)),
    ("https://10.0.0.1", UpstreamAddress(Protocol.HTTP, tls=True, host="10.0.0.1", port=443)),
    ("https://[::1]:8443", UpstreamAddress(Protocol.HTTP, tls=True, host="::1", port=8443)),
    ("http://[2001:DB8::0:1]", UpstreamAddress(Protocol.HTTP, host="2001:db8::1", port=80)),
    ("http://[fe80::1%eth0]:80", UpstreamAddress(Protocol.HTTP, host="fe80::1%eth0", port=80)),
    ("http+unix:///run/g.sock", UpstreamAddress(Protocol.HTTP, socket_path="/run/g.sock")),
    ("uwsgi://127.0.0.1:3031", UpstreamAddress(Protocol.UWSGI, host="127.0.0.1", port=3031)),
    ("uwsgi+unix:///run/g.sock", UpstreamAddress(Protocol.UWSGI, socket_path="/run/g.sock")),
    (
        "wsgi:glance.wsgi.api:application",
        UpstreamAddress(Protocol.WSGI, application="glance.wsgi.api:application"),
    ),
]

REFUSED = [
    ("", "an upstream is a URL"),
    ("127.0.0.1:9292", "an upstream is a URL"),
    ("unix:/run/g.sock", "an upstream is a URL"),
    ("fcgi://h:1", "unknown scheme 'fcgi'; use http, https, http+unix, uwsgi, uwsgi+unix or wsgi"),
    ("uwsgi://h", "the port is missing, as in uwsgi://h:3031"),
    ("http://", "the host is missing"),
    ("http://:80", "the host is missing"),
    ("http://h:", "'' is not a port"),
    ("http://h:0", "port 0 cannot be connected to"),
    ("http://h:65536", "'65536' is not a port"),
    ("http://h:+80", "'+80' is not a port"),
    ("http://h:\u0663", "is not a port"),
    ("http://::1:80", "stands in brackets"),
    ("http://[::1", "ends with ']'"),
    ("http://[::1]80", "ends with ']'"),
    ("http://[1.2.3.4]:80", "'1.2.3.4' is not an IPv6 address"),
    ("http://256.0.0.1:80", "'256.0.0.1' is not an IPv4 address"),
    ("http://127.1:80", "'127.1' is not an IPv4 address"),
    ("http://a b:80", "'a b' is not a host name"),
    ("http://m\u00fcnchen:80", "xn--"),
    ("http://h:80/image", 'set mount = "/image"'),
    ("http://h:80/image/", 'set mount = "/image"'),
    ("http://h:80?a=b", "no query"),
    ("http://h:80/#a", "no fragment"),
    ("http://user:secret@h:80", "no password"),
    ("http+unix://run/g.sock", "http+unix:///run/glance.sock"),
    ("uwsgi+unix:///", "names a file"),
    ("uwsgi+unix:///run/", "names a file"),
    ("uwsgi+unix:///" + 107 * "x", "at most 107 bytes"),
    ("wsgi:glance.wsgi.api", "name a module and a callable"),
    ("wsgi:", "name a module and a callable"),
    ("wsgi:a..b:c", "name a module and a callable"),
]


@series(("url", "address"), TAKEN)
def test_taken(url, address):
    assert parse_upstream(url) == address


@series(("url", "message"), REFUSED)
def test_refused_with_what_to_write(url, message):
    with pytest.raises(ValueError) as fault:
        parse_upstream(url)
    assert message in str(fault.value)


def test_a_refused_url_is_repeated():
    with pytest.raises(ValueError, match=r"^'uwsgi://h': "):
        parse_upstream("uwsgi://h")


def test_a_password_is_never_repeated():
    with pytest.raises(ValueError) as fault:
        parse_upstream("http://user:secret@h:80")
    assert "secret" not in str(fault.value)
    assert "h:80" in str(fault.value)


@pytest.mark.parametrize("url", ["http://glance:80", "https://[::1]:443", "uwsgi+unix:///run/g.sock"])
def test_text_is_the_url(url):
    assert str(parse_upstream(url)) == url


def test_the_longest_socket_path():
    path = "/" + 106 * "x"
    assert parse_upstream(f"http+unix://{path}").socket_path == path


hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9](\.[a-z]{2,5})?", fullmatch=True),
    st.ip_addresses().map(str),
)
networked = st.builds(
    lambda scheme, host, port: UpstreamAddress(
        Protocol.UWSGI if scheme == "uwsgi" else Protocol.HTTP, tls=scheme == "https", host=host, port=port
    ),
    st.sampled_from(["http", "https", "uwsgi"]),
    hosts,
    st.integers(1, 65535),
)
on_sockets = st.builds(
    lambda protocol, name: UpstreamAddress(protocol, socket_path=f"/run/{name}"),
    st.sampled_from([Protocol.HTTP, Protocol.UWSGI]),
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20).filter(
        lambda name: not name.endswith("/")
    ),
)


@given(networked | on_sockets)
def test_there_and_back(address):
    assert parse_upstream(str(address)) == address


@given(st.text(max_size=40))
def test_nothing_but_value_errors(text):
    for url in (text, f"http://{text}", f"uwsgi+unix://{text}", f"wsgi:{text}"):
        try:
            address = parse_upstream(url)
        except ValueError:
            continue
        assert parse_upstream(str(address)) == address
