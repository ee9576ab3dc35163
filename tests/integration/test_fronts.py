"""The shipped nginx, HAProxy and Apache in front of the shim, on the wire: what passes, and how things end.

Behind the shim stands a scripted server that records what it gets; ``test_fronts_glance`` has Glance there.
"""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fronts.authority import Authority
from tests.fronts.client import ELSEWHERE, FrontClient
from tests.fronts.ways import WAYS, Way, open_way
from tests.hosting.apache import public_directory
from tests.support.client import LAST, Answer, Client, chunk, chunked, get, head, put, put_chunked
from tests.support.replies import answer_head, held, normal, raw
from tests.support.shim import Settings
from tests.support.stub import Stub
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

MIB = 1 << 20
BODY = random.Random(7).randbytes(2 * MIB)
LONG = 60.0
"""Seconds for 64 MiB on a busy machine."""

LIMITS: Settings = {"service": "none", "spool.max_body": "8MiB", "timeouts.body_idle": "1s"}

LINKED_WAYS = [(name, "tcp") for name in WAYS] + [(name, "unix") for name in WAYS[1:]]
"""Each front by both kinds of connection to the shim."""

SPOOFED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 6.6.6.6",
    'Forwarded: for=6.6.6.6;proto=gopher;host="evil.example"',
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with public_directory("fronts") as folder:
        yield folder


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority.make(folder / "authority")


@pytest.fixture(scope="module")
def running_stub() -> Iterator[Stub]:
    stub = Stub("http")
    yield stub
    stub.close()


@pytest.fixture(scope="module", params=LINKED_WAYS, ids="-".join)
def running_way(request, folder: Path, authority: Authority, running_stub: Stub) -> Iterator[Way]:
    name, link = request.param
    # Apache runs as a user of its own: in production it is in the shim's group.
    settings = {**LIMITS, "server.socket_mode": "0666"}
    with open_way(
        name, folder / f"{name}-{link}", authority, running_stub.url, link=link, settings=settings
    ) as way:
        # The front's own start has asked for something.
        running_stub.forget()
        yield way


@pytest.fixture
def way(running_way: Way, stub: Stub) -> Iterator[Way]:
    """At rest after each test, without complaints."""
    start = running_way.shim.log_size()
    yield running_way
    running_way.shim.await_rest()
    assert not running_way.shim.complaints(start), running_way.shim.log_text(start)[-4000:]


@pytest.fixture
def stub(running_stub: Stub) -> Iterator[Stub]:
    yield running_stub
    running_stub.forget()


def ask(way: Way, request: bytes, *, patience: float = LONG) -> Answer:
    """One request, sent as far as it is taken, and its answer."""
    with way.connect(patience=patience) as client:
        client.offer(request)
        return client.answer(request.split(b" ", 1)[0].decode())


def target(way: Way, path: str) -> str:
    return f"{way.mount}{path}"


# -- what passes ------------------------------------------------------------------------------------------


def test_chunked_body_arrives_with_its_length(way: Way, stub: Stub):
    answer = ask(way, put_chunked(target(way, "/v2/images/1/file"), chunked(BODY)))
    assert answer.status == 200, answer
    seen = stub.only()
    assert (seen.length, seen.codings) == (str(len(BODY)), [])


def test_path_arrives_byte_for_byte(way: Way, stub: Stub):
    path = target(way, "/v2/a%2Fb/%7Ec/;d?e=%20&f=/")
    assert ask(way, get(path)).status == 200
    assert stub.only().target == path


def test_expectation_is_met_and_ends_at_the_shim(way: Way, stub: Stub):
    with way.connect() as client:
        client.send(head("PUT", target(way, "/x"), "Transfer-Encoding: chunked", "Expect: 100-continue"))
        assert client.head()[0] == 100
        client.send(chunked(BODY))
        assert client.answer("PUT").status == 200
    assert stub.only().all("Expect") == []


def test_client_is_known_by_its_address(way: Way, stub: Stub):
    start = way.shim.log_size()
    assert ask(way, get(target(way, "/x"))).status == 200
    lines = eventually(
        lambda: [line for line in way.shim.log_lines(start) if line.get("path") == target(way, "/x")],
        "the request is logged",
    )
    assert [line["client"] for line in lines] == [ELSEWHERE]
    assert stub.only().joined("X-Forwarded-For").split(", ")[0] == ELSEWHERE


def test_what_a_client_says_of_itself_is_dropped(way: Way, stub: Stub):
    with way.connect() as client:
        client.send(head("GET", target(way, "/x"), *SPOOFED, host=way.host))
        assert client.answer().status == 200
    seen = stub.only()
    told = {name: seen.joined(name) for name in ("X-Forwarded-Proto", "X-Forwarded-Host")}
    assert told == {"X-Forwarded-Proto": way.scheme, "X-Forwarded-Host": way.host}
    assert seen.joined("Host") == way.host
    assert seen.joined("X-Forwarded-Prefix") == (way.mount or None if seen.protocol == "http" else None)
    everything = seen.raw.decode("latin-1")
    assert not [spoof for spoof in ("6.6.6.6", "gopher", "evil") if spoof in everything], everything


def test_nobody_but_the_front_is_believed(way: Way, stub: Stub):
    """The same, told to the shim itself by somebody else than the front."""
    with FrontClient(way.shim.port, None, source=ELSEWHERE) as client:
        client.send(head("GET", "/x", *SPOOFED, host=way.host))
        assert client.answer().status == 200
    assert stub.only().joined("X-Forwarded-For") == ELSEWHERE
    assert stub.only().joined("X-Forwarded-Proto") == "http"


def test_declared_gigabytes_are_not_the_front_s_affair(way: Way, stub: Stub):
    """Who refuses them is the shim, in its own words: nginx's own limit is 1 MiB by default."""
    fields = (f"Content-Length: {3 << 30}", "Accept: */*", "Expect: 100-continue")
    answer = ask(way, head("PUT", target(way, "/x"), *fields))
    assert (answer.status, answer.body.split(b":")[0]) == (413, b"413 body_too_large"), answer


# -- early answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [9, 64])
def test_refusal_is_read_by_a_client_that_is_still_sending(way: Way, stub: Stub, size):
    """At the crossing of spool.max_body: 8 MiB are spooled, the rest is on its way."""
    request = head("PUT", target(way, "/x"), "Transfer-Encoding: chunked", "Accept: */*")
    with way.connect(patience=LONG) as client:
        client.offer(request, *[chunk(bytes(MIB))] * size, LAST)
        answer = client.answer("PUT")
    assert (answer.status, answer.body.split(b":")[0]) == (413, b"413 body_too_large"), answer
    assert not stub.requests, stub.story()


def test_client_that_paused_too_long_gets_to_know_why(way: Way, stub: Stub):
    """Apache reads an answer only after the whole body: it tells of the 408 when the client goes on."""
    start = way.shim.log_size()
    request = head("PUT", target(way, "/x"), "Transfer-Encoding: chunked", "Accept: */*")
    with way.connect() as client:
        client.send(request, chunk(BODY))
        eventually(lambda: "body_idle_timeout" in way.shim.log_text(start), "the shim answered")
        client.offer(chunk(BODY), LAST)
        answer = client.answer("PUT")
    assert (answer.status, answer.body.split(b":")[0]) == (408, b"408 body_idle_timeout"), answer
    assert not stub.requests, stub.story()


# -- what is cut ------------------------------------------------------------------------------------------


def leave_by_reset(client: Client) -> None:
    client.reset()


def leave_by_close(client: Client) -> None:
    client.close()


@pytest.mark.parametrize("leave", [leave_by_reset, leave_by_close])
@pytest.mark.parametrize("framing", ["chunked, between chunks", "chunked, in a chunk", "length"])
def test_cut_body_never_arrives_as_a_whole_one(way: Way, stub: Stub, framing, leave):
    path = target(way, "/x")
    request = {
        "chunked, between chunks": head("PUT", path, "Transfer-Encoding: chunked") + chunk(BODY),
        "chunked, in a chunk": head("PUT", path, "Transfer-Encoding: chunked") + chunk(BODY)[:-MIB],
        "length": put(path, BODY)[:-1],
    }[framing]
    start = way.shim.log_size()
    with way.connect() as client:
        client.send(request)
        eventually(lambda: way.shim.metric("uploads") == 1, "the shim has begun to receive")
        leave(client)
    eventually(lambda: way.shim.log_lines(start), "the shim has seen its end")
    way.shim.await_rest()
    assert not [seen for seen in stub.requests if seen.complete], stub.story()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_cut_answer_is_seen_as_cut(way: Way, stub: Stub, framing, end):
    if framing == "length":
        stub.answer(raw(answer_head(200, f"Content-Length: {len(BODY)}"), BODY[:MIB], end=end))
    else:
        stub.answer(raw(answer_head(200, "Transfer-Encoding: chunked"), chunk(BODY[:MIB]), end=end))
    answer = ask(way, get(target(way, "/x")))
    assert not answer.complete, (answer.status, answer.framing, len(answer.body))


# -- the front's own limits -------------------------------------------------------------------------------

SHORT_WAIT = {
    "nginx": ("proxy_read_timeout 1h;", "proxy_read_timeout 1s;", 504),
    "haproxy": ("timeout server 1h", "timeout server 1s", 504),
    "apache": ("timeout=3600", "timeout=1", 502),
}
"""The timeout that runs while the shim waits for Glance, made too short; and what the client then reads."""


@pytest.mark.parametrize("name", SHORT_WAIT)
def test_front_that_does_not_wait_for_glance_gives_up(
    *, name, folder: Path, authority: Authority, running_stub: Stub, stub: Stub, gate: threading.Event
):
    """What an operator sees whose front has its defaults; the shim gives the server up then."""
    shipped, short, status = SHORT_WAIT[name]
    place, upstream = folder / f"{name}-short", running_stub.url
    with open_way(name, place, authority, upstream, settings=LIMITS, changes={shipped: short}) as way:
        stub.forget()
        stub.answer(held(gate, normal()))
        answer = ask(way, put_chunked(target(way, "/x"), chunked(BODY)))
        assert answer.status == status, answer
        way.shim.await_rest()
        ends = [line.get("end") for line in way.shim.log_lines() if line.get("path") == target(way, "/x")]
        assert ends == ["client_gone"]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """A gate that held replies wait for; opened at the test's end at the latest."""
    event = threading.Event()
    yield event
    event.set()
