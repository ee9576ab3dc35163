"""The glance command's lines and output, and questions to a Glance, which is a small fake here."""

import hashlib
import http.server
import json
import threading

import pytest

from shim.demo import DemoError
from shim.demo.addresses import free_port
from shim.demo.client import ImageState, download_hash, essence, image_create, look_up

TABLE = """\
+------------------+--------------------------------------+
| Property         | Value                                |
+------------------+--------------------------------------+
| checksum         | None                                 |
| id               | 936ae26b-9089-45cf-8e57-7dc5f9eaac66 |
| size             | None                                 |
| status           | queued                               |
+------------------+--------------------------------------+
HTTP 500 Internal Server Error: The server has erred.
"""
DATA = b"image" * 1000
IMAGE = {"status": "active", "size": 5000, "os_hash_algo": "sha512", "os_hash_value": "abc", "name": "x"}


ANSWERS = {"/v2/images/1": json.dumps(IMAGE).encode(), "/v2/images/1/file": DATA}


class FakeGlance(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWERS.get(self.path)
        assert self.headers["X-Auth-Token"] == "admin"
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def glance():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeGlance) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_of_the_output_remains_what_tells_of_the_upload():
    assert essence(TABLE) == [
        "id       936ae26b-9089-45cf-8e57-7dc5f9eaac66",
        "size     None",
        "status   queued",
        "HTTP 500 Internal Server Error: The server has erred.",
    ]


def test_the_command_names_url_token_and_file():
    command = image_create("http://127.0.0.1:1", "id-1", "name-1", "/tmp/file")
    assert command[:2] == ["glance", "--os-image-url"]
    assert {"http://127.0.0.1:1", "id-1", "name-1", "/tmp/file", "image-create"} <= set(command)


def test_an_image_is_looked_up(glance):
    assert look_up(glance, "1") == ImageState("active", 5000, "sha512", "abc")


def test_downloaded_data_is_hashed(glance):
    assert download_hash(glance, "1") == hashlib.sha512(DATA).hexdigest()


def test_an_unknown_image_is_told(glance):
    with pytest.raises(DemoError, match="/v2/images/2: 404"):
        look_up(glance, "2")


def test_no_answer_is_told():
    with pytest.raises(DemoError, match="refused"):
        look_up(f"http://127.0.0.1:{free_port()}", "1")
