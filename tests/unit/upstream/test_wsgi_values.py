"""What an application is told of a request: the variables of PEP 3333, and errors that become log lines."""

import pytest

from shim.upstream.message import BytesBody
from tests.fakes.application import (
    PLAIN,
    get_answer,
    request,
)


def environ_of(message, **options):
    """What the application is told."""
    told = {}

    def application(environ, start_response):
        told.update(environ)
        start_response("200 OK", PLAIN)
        return [b"x"]

    get_answer(application, message, **options)
    return told


def test_environ():
    message = request(
        "PUT",
        b"/image/v2/a%2Fb%C3%A4?limit=%31",
        (b"content-type", b"application/octet-stream"),
        (b"x-auth-token", b"t"),
        (b"x-name", b"one"),
        (b"x-name", b"\xe4"),
        body=BytesBody(b"abc"),
        mount="/image",
        scheme="https",
        remote="10.0.0.1",
        server=("glance.example", 443),
    )
    told = environ_of(message)
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "/image",
        # The decoded bytes as latin-1: "bytes in disguise" (PEP 3333).
        "PATH_INFO": "/v2/a/b\xc3\xa4",
        "QUERY_STRING": "limit=%31",
        "REQUEST_URI": "/image/v2/a%2Fb%C3%A4?limit=%31",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "glance.example",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": "10.0.0.1",
        "CONTENT_TYPE": "application/octet-stream",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "glance",
        "HTTP_X_AUTH_TOKEN": "t",
        "HTTP_X_NAME": "one, \xe4",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    assert {name: told.get(name) for name in expected} == expected
    assert "HTTP_TRANSFER_ENCODING" not in told
    assert "HTTP_CONTENT_LENGTH" not in told


@pytest.mark.parametrize(
    ("body", "length"),
    [(None, None), (BytesBody(b""), "0"), (BytesBody(b"x"), "1")],
    ids=["no", "empty", "short"],
)
def test_content_length_says_whether_there_is_a_body(body, length):
    assert environ_of(request("POST", body=body)).get("CONTENT_LENGTH") == length


def test_nothing_says_that_input_ends_by_itself():
    """WebOb would take a request without a body for one with a body of unknown length."""
    assert "wsgi.input_terminated" not in environ_of(request())


def test_errors_become_log_lines(caplog):
    def application(environ, start_response):
        errors = environ["wsgi.errors"]
        errors.write("first\nsec")
        errors.writelines(["ond\n", "\n", "rest"])
        errors.flush()
        start_response("200 OK", PLAIN)
        return [b""]

    get_answer(application, request("GET", b"/", (b"x-openstack-request-id", b"req-1")))
    lines = [line for line in caplog.records if line.name == "shim.application"]
    assert [line.message for line in lines] == ["first", "second", "rest"]
    assert lines[0].fields == {"request_id": "req-1"}
