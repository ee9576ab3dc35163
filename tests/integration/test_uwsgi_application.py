"""A small WSGI application under real uWSGI and gunicorn, the shim in front, a raw client before it.

What the stub upstream of the conformance tests plays is done here by the servers that operators run.
"""

import hashlib
import json
import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shim.demo.environment import Environment
from shim.demo.hosting import Kind, Server
from tests.integration import echo
from tests.integration.running import WORKERS, run_shim, serve_echo
from tests.support.client import LAST, Answer, Client, chunk, chunked, get, head, put, put_chunked
from tests.support.rig import WAYS
from tests.support.series import series
from tests.support.shim import Shim
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

KIB = 1 << 10
MIB = 1 << 20
ROUNDS = 4

HOSTINGS: dict[str, tuple[Kind, int]] = {
    "uwsgi-unix": ("uwsgi-unix", 1),
    "uwsgi-tcp": ("uwsgi-tcp", 1),
    "uwsgi-http-socket": ("uwsgi-http-socket", 1),
    "gunicorn-sync": ("gunicorn", 1),
    "gunicorn-gthread": ("gunicorn", 4),
}
"""Server and socket, and threads of a worker."""

# Of the way that a body takes through the shim a server sees its protocol alone; the conformance tests run in
# every way over each of them.
CHAINS = [(hosting, "fast") for hosting in HOSTINGS] + [("uwsgi-unix", "plain"), ("gunicorn-sync", "plain")]
"""Each hosting, and how the shim before it works inside."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over all chains, those of one server one after the other."""
    if "shim" in metafunc.fixturenames:
        metafunc.parametrize(("server", "shim"), sorted(CHAINS), indirect=True, scope="module")


@dataclass
class Chain:
    """A server with the echo application, and a shim before it."""

    hosting: str
    server: Server
    shim: Shim

    def client(self) -> Client:
        """A new connection to the shim."""
        return Client(("127.0.0.1", self.shim.port))

    def ask(self, *pieces: bytes) -> Answer:
        """Send one request, as far as it is taken, and read the answer."""
        with self.client() as client:
            client.offer(*pieces)
            return client.answer(pieces[0].split(b" ", 1)[0].decode())

    def echoed(self, *pieces: bytes) -> dict[str, Any]:
        """What the application says it was given."""
        answer = self.ask(*pieces)
        assert (answer.status, answer.complete) == (200, True), answer
        return json.loads(answer.body)


@pytest.fixture(scope="module")
def server(request, environment: Environment, tmp_path_factory) -> Iterator[Server]:
    kind, threads = HOSTINGS[request.param]
    with serve_echo(environment, tmp_path_factory.mktemp(request.param), kind, threads) as server:
        yield server


@pytest.fixture(scope="module")
def shim(request, server: Server, tmp_path_factory) -> Iterator[Shim]:
    folder = tmp_path_factory.mktemp("shim")
    with run_shim(folder, server.url, service="none", **WAYS[request.param]) as shim:
        yield shim


@pytest.fixture
def chain(request, server: Server, shim: Shim) -> Iterator[Chain]:
    """A hosting with its shim, which is at rest again after each test, and has not complained."""
    start = shim.log_size()
    yield Chain(request.node.callspec.params["server"], server, shim)
    shim.await_rest()
    assert not shim.complaints(start), shim.log_text(start)[-4000:]


# -- bodies -------------------------------------------------------------------------------------------

RANDOM = random.Random(9292).randbytes(16 * MIB)
"""The largest body here; smaller ones are its beginnings."""


def mixed_sizes() -> Iterator[int]:
    """Chunk sizes from 1 byte to 1 MiB, each order of magnitude as likely as the others."""
    choice = random.Random(2929)
    while True:
        yield int(2 ** choice.uniform(0, 20))


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """Data in pieces of these sizes, in turn."""
    start = 0
    while start < len(data):
        size = next(sizes)
        yield data[start : start + size]
        start += size


def assert_arrived(told: dict[str, Any], body: bytes) -> None:
    assert told["length"] == len(body)
    assert told["sha256"] == hashlib.sha256(body).hexdigest()
    assert told["variables"]["CONTENT_LENGTH"] == str(len(body))
    assert not [name for name in told["variables"] if "TRANSFER_ENCODING" in name], told


@series("size", [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1])
def test_chunked_body_arrives_with_its_length(chain: Chain, size):
    body = RANDOM[:size]
    assert_arrived(chain.echoed(put_chunked("/x", chunked(body))), body)


@series(("size", "chunk_size"), [
    (256 * KIB + 1, 1),
    (4 * MIB, 100),
    (16 * MIB, 4 * KIB),
    (16 * MIB, 64 * KIB),
    (16 * MIB, MIB),
])  # fmt: skip
def test_body_in_chunks_of_one_size(chain: Chain, size, chunk_size):
    body = RANDOM[:size]
    assert_arrived(chain.echoed(put_chunked("/x", chunked(body, chunk_size))), body)


def test_body_in_chunks_of_all_sizes(chain: Chain):
    told = chain.echoed(put_chunked("/x", chunked(RANDOM, mixed_sizes()), "Expect: 100-continue"))
    assert_arrived(told, RANDOM)


def test_body_delivered_out_of_step_with_its_chunks(chain: Chain):
    request = put_chunked("/x", chunked(RANDOM, MIB))
    assert_arrived(chain.echoed(*cut(request, mixed_sizes())), RANDOM)


def test_body_with_a_length(chain: Chain):
    assert_arrived(chain.echoed(put("/x", RANDOM)), RANDOM)


def test_request_without_a_body_has_no_length(chain: Chain):
    told = chain.echoed(get("/x"))
    assert told["length"] == 0
    assert told["variables"].get("CONTENT_LENGTH", "") in ("", "0")


# -- what the application sees --------------------------------------------------------------------------


def test_variables(chain: Chain):
    variables = chain.echoed(get("/a%2Fb/x?y=%20z", "X-Plain: 1", "X-Twice: a", "X-Twice: b"))["variables"]
    assert variables["SCRIPT_NAME"] == ""
    assert variables["PATH_INFO"] == "/a/b/x"
    assert variables["QUERY_STRING"] == "y=%20z"
    assert variables["HTTP_X_PLAIN"] == "1"
    assert variables["HTTP_X_TWICE"].replace(" ", "") == "a,b"
    assert variables["HTTP_HOST"] == "glance.example:9292"
    assert variables["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    raw = variables.get("REQUEST_URI") or variables["RAW_URI"]
    assert raw == "/a%2Fb/x?y=%20z"


@series("line", [
    "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded_For: 6.6.6.6",
    "Content_Length: 6660666066606",
    "Transfer_Encoding: chunked",
    "Uwsgi_Postfile: 6660666066606",
    "X_Auth_Token: 6660666066606",
    "Proxy: 6660666066606",
])  # fmt: skip
def test_headers_that_would_pass_for_others_are_not_seen(chain: Chain, line):
    told = chain.echoed(put_chunked("/x", chunked(b"foobar"), line))
    value = line.partition(": ")[2]
    assert_arrived(told, b"foobar")
    assert not [name for name, seen in told["variables"].items() if value in seen], told


# -- many requests on one connection --------------------------------------------------------------------


def test_fifty_requests_on_a_pooled_connection(chain: Chain):
    """ACCEPTANCE 21; uWSGI's http-socket closes after each answer without saying so."""
    with httpx.Client(base_url=f"http://127.0.0.1:{chain.shim.port}", trust_env=False) as client:
        for number in range(50):
            answer = client.get(f"/{number}")
            assert (answer.status_code, answer.json()["variables"]["PATH_INFO"]) == (200, f"/{number}")
            answer = client.head("/download?size=100")
            assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "100", b"")
            answer = client.post("/post", content=iter([b"foo", b"bar"]))
            assert (answer.status_code, answer.json()["length"]) == (200, 6)


def test_fifty_requests_on_each_of_four_connections_at_once(chain: Chain):
    def ask(connection: int) -> list[str]:
        seen = []
        with chain.client() as client:
            for number in range(50):
                client.send(get(f"/{connection}/{number}"))
                answer = client.answer()
                assert answer.status == 200, answer
                seen.append(json.loads(answer.body)["variables"]["PATH_INFO"])
        return seen

    with ThreadPoolExecutor(4) as threads:
        for connection, seen in enumerate(threads.map(ask, range(4))):
            assert seen == [f"/{connection}/{number}" for number in range(50)]


# -- answers --------------------------------------------------------------------------------------------


def unread_body(framing: str) -> list[bytes]:
    """32 MiB that the application will not read."""
    piece = bytes(MIB)
    if framing == "length":
        return [head("PUT", "%s", f"Content-Length: {32 * MIB}"), *[piece] * 32]
    return [head("PUT", "%s", "Transfer-Encoding: chunked"), *[chunk(piece)] * 32, LAST]


# Each status in each framing: tests/conformance/test_early_answers.py.
@series(("status", "framing"), [(401, "chunked"), (404, "length"), (409, "length"), (413, "chunked")])
def test_early_answer_beside_an_unread_body(chain: Chain, status, framing):
    first, *rest = unread_body(framing)
    request = [first.replace(b"%s", b"/refuse/%d" % status), *rest]
    answers = [chain.ask(*request) for _ in range(ROUNDS)]
    assert [answer.status for answer in answers] == [status] * ROUNDS
    expected = b"said early: %d\n" % status * 100
    assert all(answer.complete and answer.body == expected for answer in answers)


def download_hash(client: Client, request: bytes) -> tuple[int, str, bool]:
    """Length, sha256 and completeness of a long answer."""
    client.send(request)
    answer = client.answer()
    assert answer.status == 200, answer.status
    return len(answer.body), hashlib.sha256(answer.body).hexdigest(), answer.complete


def hash_pieces(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


@pytest.mark.parametrize("framing", ["length", "none"])
def test_large_download(chain: Chain, framing):
    size = 24 * MIB
    with chain.client() as client:
        got = download_hash(client, get(f"/download?size={size}&framing={framing}"))
    assert got == (size, hash_pieces(echo.numbered_pieces(size)), True)


def test_client_that_leaves_mid_download_frees_the_worker(chain: Chain):
    """The answer would never end: a worker that was not freed would be lost for good."""
    for leave in ("close", "reset") * WORKERS:
        with chain.client() as client:
            client.send(get("/endless"))
            assert client.head()[0] == 200
            client.wire.exactly(MIB)
            if leave == "reset":
                client.reset()
        chain.shim.await_rest()
    assert chain.echoed(get("/x"))["length"] == 0


# -- servers that fail ----------------------------------------------------------------------------------


@series("when", ["head", "body"])
@series("size", [0, 6, 32 * MIB])
def test_worker_killed_before_it_answers(chain: Chain, when, size):
    body = [chunk(bytes(MIB))] * (size // MIB) or [chunked(bytes(size))[: -len(LAST)]]
    answer = chain.ask(head("PUT", f"/die?when={when}", "Transfer-Encoding: chunked"), *body, LAST)
    assert answer.status == 502, answer
    assert answer.problem["code"] == "upstream_closed", answer
    # The other worker serves, or the new one does.
    assert chain.echoed(put_chunked("/x", chunked(b"foobar")))["length"] == 6


def test_worker_killed_in_the_middle_of_its_answer(chain: Chain):
    answer = chain.ask(put("/die?when=answer", b"foobar"))
    assert (answer.status, answer.header("Content-Length")) == (200, str(2 * MIB))
    assert not answer.complete
    assert len(answer.body) <= MIB


def test_all_workers_killed_from_outside_mid_request(chain: Chain):
    with chain.client() as client:
        client.send(get("/endless"))
        assert client.head()[0] == 200
        for worker in chain.server.workers():
            os.kill(worker, 9)
        assert client.wire.rest()[1] in ("fin", "reset")
    chain.shim.await_rest()
    eventually(lambda: chain.ask(get("/x")).status == 200, "a new worker serves", within=30)


@pytest.mark.parametrize("kind", ["uwsgi-unix", "uwsgi-tcp"])
def test_head_over_the_buffer_size_of_uwsgi(environment, tmp_path, kind):
    """uWSGI closes without a word, with the head unread: a reset. The log says what to look for."""
    server = serve_echo(environment, tmp_path, kind, arguments=["--buffer-size", "4096"])
    with server, run_shim(tmp_path, server.url, service="none") as shim:
        chain = Chain(kind, server, shim)
        assert chain.echoed(get("/x", f"X-Long: {'x' * 3000}"))["length"] == 0
        answer = chain.ask(get("/x", f"X-Long: {'x' * 5000}"))
        assert answer.status == 502
        assert answer.problem["code"] == "upstream_closed"
        line = eventually(
            lambda: next((line for line in shim.log_lines() if line.get("status") == 502), None),
            "the refusal is logged",
        )
        assert "buffer-size" in line["detail"]
        assert chain.echoed(get("/x"))["length"] == 0
