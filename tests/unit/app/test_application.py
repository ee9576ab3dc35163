"""The ASGI application over a proxy that does as it is told: what becomes of a scope, and of every error."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest

from shim.app.application import ProxyApplication
from shim.asgi import INBOUND, Inbound, Scope
from shim.errors import BadFraming, ClientGone, HeadTooLarge, ShimError, SpoolFull, UpstreamClosed
from shim.observe.counters import Counters
from shim.observe.journal import Journal, Record
from shim.proxy.request import Answer, ClientRequest
from shim.wire.framing import CHUNKED, NOTHING, BodyKind, Framing
from shim.wire.hops import Origin
from shim.wire.peer import Peer, TrustedProxies
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.loops import let_others_run, run
from tests.support.series import series

ID = b"req-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
Serve = Callable[[Answer, Record], Awaitable[None]]


async def answer_ok(answer: Answer, record: Record) -> None:
    record.status = 200
    await answer.begin(200, [(b"content-length", b"2")])
    await answer.write(b"ok")
    await answer.end()


class ToldProxy:
    """A proxy that keeps the requests it gets and does with each what the test says."""

    def __init__(self, serve: Serve = answer_ok) -> None:
        self._serve = serve
        self.requests: list[ClientRequest] = []

    async def serve(self, request: ClientRequest, answer: Answer, record: Record) -> None:
        self.requests.append(request)
        await self._serve(answer, record)


class Stage:
    """The application with all that a test looks at afterwards."""

    def __init__(self, serve: Serve = answer_ok, trusted: TrustedProxies | None = None) -> None:
        self.proxy = ToldProxy(serve)
        self.counters = Counters()
        self.client = FakeClient()
        self.application = ProxyApplication(self.proxy, Journal(self.counters), trusted or TrustedProxies())

    def ask(self, scope: Scope | None = None) -> FakeClient:
        run(self.application(scope or scope_of(), self.client.receive, self.client.send))
        return self.client

    @property
    def request(self) -> ClientRequest:
        (request,) = self.proxy.requests
        return request


@pytest.fixture
def access(caplog):
    """The fields of the access lines written since."""
    caplog.set_level(logging.INFO, "shim.access")
    return lambda: [line.fields for line in caplog.records if line.name == "shim.access"]


# -- what becomes of a scope ----------------------------------------------------------------------


def changed(**changes: Any) -> Scope:
    scope = {**scope_of(), **changes}
    return {key: value for key, value in scope.items() if value is not None}


def offering(target: bytes, refusal: Exception | None = None) -> dict[str, Any]:
    return {INBOUND: Inbound(target, refusal)}


def test_a_request_is_served(access):
    stage = Stage()
    client = stage.ask(scope_of("PUT", b"/v2/x?y", ((b"X-Request-Id", ID),)))
    assert (client.status, client.body, client.is_answered) == (200, b"ok", True)
    request = stage.request
    assert (request.id, request.method, request.target) == (ID.decode(), "PUT", b"/v2/x?y")
    assert request.headers == ((b"host", b"glance"), (b"x-request-id", ID))
    assert (request.client, request.peer) == ("192.0.2.7", Peer("192.0.2.7", "http"))
    assert request.server == ("192.0.2.1", 9292)
    assert request.receive == stage.client.receive
    (line,) = access()
    assert (line["request_id"], line["status"], line["end"]) == (ID.decode(), 200, "ok")
    assert stage.counters.requests.total() == 1
    assert stage.counters.refusals == {}


TARGETS = [
    # scope, target, path in the log
    pytest.param(scope_of(target=b"/a"), b"/a", "/a", id="path"),
    pytest.param(scope_of(target=b"/a?b?c"), b"/a?b?c", "/a", id="query"),
    pytest.param(changed(raw_path=b"/a%2Fb", path="/a/b"), b"/a%2Fb", "/a%2Fb", id="raw"),
    pytest.param(changed(raw_path=None, path="/\u00e4"), "/\u00e4".encode(), "/\\xc3\\xa4", id="no raw path"),
    pytest.param(changed(raw_path=b"", path="/a"), b"/a", "/a", id="empty raw path"),
    pytest.param(changed(raw_path=b"/a", query_string=None), b"/a", "/a", id="no query"),
    pytest.param(changed(raw_path=b"/a", extensions=offering(b"/a?")), b"/a?", "/a", id="our own offer"),
    pytest.param(changed(raw_path=b"/a", extensions={INBOUND: "else"}), b"/a", "/a", id="an offer of others"),
    pytest.param(changed(raw_path=b"/a", extensions=None), b"/a", "/a", id="no extensions"),
]


@pytest.mark.parametrize(("scope", "target", "path"), TARGETS)
def test_targets(scope, target, path, access):
    stage = Stage()
    stage.ask(scope)
    assert stage.request.target == target
    assert access()[0]["path"] == path


FRAMINGS = [
    # version, fields, framing
    pytest.param("1.1", (), NOTHING, id="nothing"),
    pytest.param("1.1", ((b"content-length", b"6"),), Framing(BodyKind.LENGTH, 6), id="length"),
    pytest.param("1.1", ((b"transfer-encoding", b"chunked"),), CHUNKED, id="chunked"),
    pytest.param("1.0", ((b"content-length", b"6"),), Framing(BodyKind.LENGTH, 6), id="HTTP/1.0"),
    pytest.param("2", (), CHUNKED, id="HTTP/2 says nothing of a body that may come"),
    pytest.param("2", ((b"content-length", b"6"),), Framing(BodyKind.LENGTH, 6), id="HTTP/2 with length"),
]


@series(("version", "fields", "framing"), FRAMINGS)
def test_framings(version, fields, framing):
    stage = Stage()
    stage.ask(scope_of("PUT", headers=fields, http_version=version))
    assert stage.request.framing == framing


@pytest.mark.parametrize(
    ("version", "fields", "code"),
    [
        ("1.1", ((b"content-length", b"6"), (b"transfer-encoding", b"chunked")), "bad_framing"),
        ("1.1", ((b"transfer-encoding", b"gzip"),), "unknown_coding"),
        ("1.0", ((b"transfer-encoding", b"chunked"),), "bad_framing"),
    ],
)
def test_framings_that_are_refused(version, fields, code):
    stage = Stage()
    client = stage.ask(scope_of("PUT", headers=fields, http_version=version))
    assert client.code == code
    assert stage.proxy.requests == []


HOP = ((b"x-forwarded-for", b"198.51.100.1"),)
FRIEND = Peer("10.0.0.1", "http")
TOLD = Peer("10.0.0.1", "http", Origin("198.51.100.1", ("198.51.100.1",)))
PEERS = [
    # scope, peer, client
    pytest.param(changed(client=("10.0.0.1", 1)), FRIEND, "10.0.0.1", id="trusted"),
    pytest.param(changed(client=("10.0.0.1", 0)), FRIEND, "10.0.0.1", id="no port"),
    pytest.param(changed(client=("10.0.0.1", 1), headers=[*HOP]), TOLD, "198.51.100.1", id="for another"),
    pytest.param(changed(headers=[*HOP]), Peer("192.0.2.7", "http"), "192.0.2.7", id="not trusted"),
    pytest.param(changed(client=None), Peer(None, "http"), "unix", id="a unix socket"),
    pytest.param(changed(client=("", 0)), Peer(None, "http"), "unix", id="a unix socket under uvicorn"),
    pytest.param(changed(scheme="https"), Peer("192.0.2.7", "https"), "192.0.2.7", id="TLS"),
    pytest.param(changed(scheme=None), Peer("192.0.2.7", "http"), "192.0.2.7", id="no scheme"),
]


@pytest.mark.parametrize(("scope", "peer", "client"), PEERS)
def test_peers(scope, peer, client, access):
    stage = Stage(trusted=TrustedProxies((ip_network("10.0.0.0/8"),)))
    stage.ask(scope)
    assert stage.request.peer == peer
    assert stage.request.client == client
    assert access()[0]["client"] == access()[0]["project"] == client


def test_limits_go_by_the_network_of_an_ipv6_client(access):
    Stage().ask(changed(client=("2001:db8::1", 1)))
    assert (access()[0]["client"], access()[0]["project"]) == ("2001:db8::1", "2001:db8::/64")


@pytest.mark.parametrize("server", [None, (), ("/run/s.sock", None)], ids=str)
def test_servers(server):
    stage = Stage()
    stage.ask(changed(server=server))
    assert stage.request.server == (server or ("localhost", None))


# -- errors ---------------------------------------------------------------------------------------


def failing(error: BaseException, *, begun: bool = False) -> Serve:
    async def serve(answer: Answer, record: Record) -> None:
        if begun:
            record.status = 200
            await answer.begin(200, [(b"content-length", b"9")])
            await answer.write(b"half")
        raise error

    return serve


def test_a_refusal_of_our_server_is_answered_like_any_other(access):
    stage = Stage()
    refusal = HeadTooLarge("The request head exceeds 65536 bytes.")
    client = stage.ask(changed(method="-", extensions=offering(b"-", refusal)))
    assert (client.status, client.code, client.is_answered) == (431, "head_too_large", True)
    assert stage.proxy.requests == []
    assert stage.counters.refusals == {"head_too_large": 1}
    (line,) = access()
    assert (line["status"], line["end"], line["detail"]) == (431, "head_too_large", refusal.detail)


def test_an_error_before_the_answer_is_answered(access):
    stage = Stage(failing(SpoolFull("Full.", retry_after=30)))
    client = stage.ask(scope_of(headers=((b"x-request-id", ID),)))
    assert (client.status, client.code, client.is_answered) == (503, "spool_full", True)
    assert client.headers[b"retry-after"] == b"30"
    assert client.headers[b"x-openstack-request-id"] == ID
    assert stage.counters.refusals == {"spool_full": 1}
    assert stage.counters.requests == {("", "GET", 503): 1}
    assert access()[0]["end"] == "spool_full"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [(b"text/html", b"text/html; charset=utf-8"), (b"*/*", b"text/plain; charset=utf-8")],
)
def test_errors_are_answered_in_the_form_asked_for(accept, content_type):
    client = Stage(failing(SpoolFull("Full."))).ask(scope_of(headers=((b"Accept", accept),)))
    assert client.headers[b"content-type"] == content_type


def test_an_error_after_the_answer_began_cuts_it(access):
    error = UpstreamClosed("Closed in the middle.", for_operator="10.0.0.1 closed in the middle.")
    stage = Stage(failing(error, begun=True))
    with pytest.raises(UpstreamClosed) as raised:
        stage.ask()
    assert raised.value is error
    assert (stage.client.status, stage.client.body, stage.client.is_answered) == (200, b"half", False)
    assert stage.counters.refusals == {"upstream_closed": 1}
    (line,) = access()
    assert (line["status"], line["end"]) == (200, "upstream_closed")
    assert line["detail"] == "10.0.0.1 closed in the middle."


@pytest.mark.parametrize(("begun", "status"), [(False, 499), (True, 200)], ids=["before", "in the middle"])
def test_nobody_answers_a_client_that_has_gone(begun, status, access):
    stage = Stage(failing(ClientGone("Gone."), begun=begun))
    with pytest.raises(ClientGone):
        stage.ask()
    assert len(stage.client.sent) == (2 if begun else 0)
    assert not stage.client.is_answered
    (line,) = access()
    assert (line["status"], line["end"]) == (status, "client_gone")


async def _in_parts(answer: Answer, record: Record) -> None:
    await answer.begin(200, [(b"content-length", b"9")])
    await answer.write(b"half")
    await answer.write(b"other")
    record.sent = 9


async def _ended(answer: Answer, record: Record) -> None:
    await answer.begin(204, [])
    await answer.end()


@pytest.mark.parametrize("give", [_in_parts, _ended])
def test_a_client_that_has_all_of_its_answer_may_go(give, access):
    """It knows the length, and leaves before the end is declared, or while its file is being freed."""

    async def serve(answer: Answer, record: Record) -> None:
        record.status = 200
        await give(answer, record)
        raise ClientGone("Gone.")

    stage = Stage(serve)
    stage.ask()
    assert stage.counters.refusals == {}
    (line,) = access()
    assert (line["status"], line["end"]) == (200, "ok")


def test_an_unexpected_error_is_a_500_and_a_log_line(access, caplog):
    stage = Stage(failing(ZeroDivisionError("secret")))
    client = stage.ask(scope_of(headers=((b"x-request-id", ID),)))
    assert (client.status, client.code, client.is_answered) == (500, "internal_error", True)
    assert b"secret" not in client.body
    assert stage.counters.refusals == {"internal_error": 1}
    assert access()[0]["end"] == "internal_error"
    (line,) = [line for line in caplog.records if line.name == "shim.app"]
    assert line.levelname == "ERROR"
    assert ID.decode() in line.getMessage()
    assert line.exc_info[0] is ZeroDivisionError


def test_an_unexpected_error_in_the_middle_cuts_the_answer(caplog):
    stage = Stage(failing(ZeroDivisionError("secret"), begun=True))
    with pytest.raises(ShimError) as raised:
        stage.ask()
    assert raised.value.code == "internal_error"
    assert not stage.client.is_answered
    assert [line.levelname for line in caplog.records if line.name == "shim.app"] == ["ERROR"]


def test_an_unexpected_refusal_is_one_of_ours_all_the_same(caplog):
    stage = Stage()
    client = stage.ask(changed(extensions=offering(b"/", ValueError("odd"))))
    assert (client.status, client.code) == (500, "internal_error")
    assert "ValueError: odd" in caplog.text


def test_a_cancelled_request_leaves_nothing_behind():
    begun = asyncio.Event()

    async def serve(answer: Answer, record: Record) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def story() -> None:
        serving = asyncio.ensure_future(
            stage.application(scope_of(), stage.client.receive, stage.client.send)
        )
        await begun.wait()
        serving.cancel()
        await let_others_run()
        assert serving.cancelled()

    stage = Stage(serve)
    run(story())
    assert stage.client.sent == []
    assert stage.counters.requests.total() == 1


def test_errors_of_the_body_are_errors_of_the_request():
    # Our own server raises what is wrong with the body from receive().
    async def serve(answer: Answer, record: Record) -> None:
        await stage.request.receive()

    stage = Stage(serve)
    stage.client = FakeClient(BadFraming("A chunk size is malformed."))
    assert stage.ask().code == "bad_framing"


# -- other scopes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["websocket", "webtransport"])
def test_nothing_but_http_is_served(kind):
    stage = Stage()
    with pytest.raises(RuntimeError, match=f"'{kind}' is not served"):
        stage.ask(changed(type=kind))
    assert stage.client.sent == []
    assert stage.proxy.requests == []
    assert stage.counters.requests == {}


def test_lifespan():
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}, {"type": "unheard"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    run(Stage().application({"type": "lifespan"}, receive, send))
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert events == [{"type": "unheard"}]
