"""Listen addresses: every form there is, every mistake an operator makes, and back to text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.server.addresses import InheritedSocket, TcpAddress, UnixAddress, parse_listen
from tests.support.series import series

TAKEN = [
    ("127.0.0.1:9292", TcpAddress("127.0.0.1", 9292)),
    ("localhost:9292", TcpAddress("localhost", 9292)),
    ("0.0.0.0:0", TcpAddress("0.0.0.0", 0)),
    ("[::]:9292", TcpAddress("::", 9292)),
    ("[2001:db8::1]:80", TcpAddress("2001:db8::1", 80)),
    ("unix:/run/shim.sock", UnixAddress("/run/shim.sock")),
    ("fd:3", InheritedSocket(3)),
    ("fd:0", InheritedSocket(0)),
]

REFUSED = [
    ("", "the host is missing"),
    ("9292", "'9292' is not an IPv4 address"),
    ("127.0.0.1", "the port is missing"),
    ("localhost", "the port is missing"),
    ("[::1]", "the port is missing"),
    (":9292", "write 0.0.0.0:PORT"),
    ("*:9292", "write 0.0.0.0:PORT"),
    ("::1:9292", "stands in brackets"),
    ("127.0.0.1:65536", "'65536' is not a port"),
    ("127.0.0.1:-1", "'-1' is not a port"),
    ("http://127.0.0.1:9292", "a listen address is no URL"),
    ("unix:run/shim.sock", "absolute path"),
    ("unix:", "absolute path"),
    ("unix:/", "names a file"),
    ("unix:///run/shim.sock", "one slash is enough: unix:/run/shim.sock"),
    ("unix:/" + 107 * "x", "at most 107 bytes"),
    ("fd:", "number of an open descriptor"),
    ("fd:-1", "number of an open descriptor"),
    ("fd:3x", "number of an open descriptor"),
]


@series(("text", "address"), TAKEN)
def test_taken_and_given_back(text, address):
    assert parse_listen(text) == address
    assert str(address) == text


@series(("text", "message"), REFUSED)
def test_refused_with_what_to_write(text, message):
    with pytest.raises(ValueError) as fault:
        parse_listen(text)
    assert str(fault.value).startswith(f"'{text}': ")
    assert message in str(fault.value)


@given(
    st.one_of(
        st.builds(TcpAddress, st.ip_addresses().map(str), st.integers(0, 65535)),
        st.builds(InheritedSocket, st.integers(0, 999_999)),
        st.from_regex(r"/[a-z0-9._-]{1,40}", fullmatch=True).map(UnixAddress),
    )
)
def test_there_and_back(address):
    assert parse_listen(str(address)) == address


@given(st.text(max_size=40))
def test_nothing_but_value_errors(text):
    for listen in (text, f"unix:/{text}", f"[{text}]:80"):
        try:
            address = parse_listen(listen)
        except ValueError:
            continue
        assert parse_listen(str(address)) == address
