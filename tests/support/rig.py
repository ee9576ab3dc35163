"""A rig is a stub upstream with a shim in front of it; the pool shares rigs between tests of equal settings.

``KINDS`` and ``WAYS`` are the two tables every case is run over: what stands behind, and how the
shim works inside. A further way is one line in ``WAYS``.
"""

import contextlib
import itertools
import re
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.certificates import make_authority, make_certificate
from tests.support.client import HOST, Answer, Client, get
from tests.support.shim import Route, Settings, Shim
from tests.support.stub import Stub
from tests.support.wire import PATIENCE

KINDS = {
    "http-tcp": ("http", False),
    "http-unix": ("http", True),
    "uwsgi-tcp": ("uwsgi", False),
    "uwsgi-unix": ("uwsgi", True),
}
"""Upstream kinds: protocol, and whether on a unix socket."""

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"server.fast": False},
    # From the first byte on, for most bodies of these tests are small.
    "fast": {"server.fast": True, "spool.memory_limit": "0B"},
    # The same two for clients that speak TLS; certificate and key are the pool's.
    "tls": {"server.fast": True, "spool.memory_limit": "0B"},
    "tls_plain": {"server.fast": False},
}
"""How the shim works inside: settings that choose it."""
AS_SHIPPED = ("http-unix-fast", "uwsgi-tcp-fast")
"""Cases with the memory limit that the shim comes with: small bodies are read by the loop there."""

_BODIES = ("cut_through", "early_answers", "ends", "expect", "limits")
_CONNECTIONS = ("answers", "declared", "edges", "framing", "large_answers", "reuse", "workers")
TLS = {"tls": (*_BODIES, *_CONNECTIONS), "tls_plain": _BODIES}
"""Ways over TLS, and the modules of tests that it can change; those of bodies on their way in, in both."""

# What a client's TLS does is the same whatever stands behind: one kind is enough for it.
NAMES = [f"{kind}-{way}" for way in WAYS for kind in KINDS if way not in TLS or kind == "http-tcp"]
FEW = ("http-tcp-plain", "uwsgi-unix-fast")
CASES = [pytest.param(name, marks=() if name in FEW else pytest.mark.more) for name in NAMES]
"""Every kind in every way, as the parameter of the ``case`` fixture; those that differ least are marked."""


def cases(*names: str) -> list[Any]:
    """Those of ``CASES`` that have these names, with their marks."""
    chosen = [case for case in CASES if case.values[0] in names]
    assert len(chosen) == len(names)
    return chosen


EACH_ONCE = [
    cases(FEW[0])[0],
    *(pytest.param(name, marks=pytest.mark.more) for name in (FEW[1], AS_SHIPPED[0], "http-tcp-tls")),
]
"""Each protocol, each kind of socket, each way and the shipped settings once, for what is settled before a
body or an answer is under way, as heads, refusals and limits are. A module says so by ``CASES = ...``."""

STATUSES = {
    "bad_request": 400,
    "bad_framing": 400,
    "size_mismatch": 400,
    "token_expired": 401,
    "header_timeout": 408,
    "body_idle_timeout": 408,
    "body_total_timeout": 408,
    "body_too_slow": 408,
    "cancelled": 403,
    "image_conflict": 409,
    "body_too_large": 413,
    "expectation_failed": 417,
    "project_limit": 429,
    "head_too_large": 431,
    "unknown_coding": 501,
    "unknown_method": 501,
    "upstream_refused": 502,
    "upstream_closed": 502,
    "upstream_invalid": 502,
    "spool_full": 503,
    "uploads_full": 503,
    "queue_full": 503,
    "queue_timeout": 503,
    "draining": 503,
    "no_upstream": 503,
    "connect_timeout": 504,
    "send_timeout": 504,
    "response_timeout": 504,
    "disk_full": 507,
    "disk_error": 507,
}
"""Every code with its status."""

SHORT = {
    f"timeouts.{name}": "400ms"
    for name in ("header", "body_idle", "send", "response", "response_idle", "keepalive")
}
"""Timeouts that a test can wait for; one set, so that the tests about them share a shim."""

CRAWL = {"limits.min_rate": "64KiB/s", "limits.min_rate_grace": "400ms"}
"""A rate that a test's client can stay below."""

KEPT = {"timeouts.keepalive": "74s"}
"""For tests that need idle connections upstream: a shim learns from a server that closes them, so these
share one whose server never does."""

TIGHT = {"spool.memory_limit": "16KiB", "spool.max_body": "4MiB", "spool.max_total": "6MiB"}
"""A spool that a test can fill."""

BAD_HEAD = ("bad_request", "bad_framing")
"""Codes for a head that is malformed; the specification does not part them."""

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n"
"""Follows every refused request, and must never be served."""


def can_differ(module: str, case: str) -> bool:
    """Whether the tests of a module (its name without ``test_``) are worth their time over a case."""
    way = case.rpartition("-")[2]
    return way not in TLS or module in TLS[way]


def only(*kinds: str) -> pytest.MarkDecorator:
    """Run a test over these kinds only, in every way."""
    assert set(kinds) <= set(KINDS)
    chosen = [case for case in CASES if str(case.values[0]).rpartition("-")[0] in kinds]
    return pytest.mark.parametrize("case", chosen)


each_once = pytest.mark.parametrize("case", EACH_ONCE)
"""Run a test over ``EACH_ONCE``."""


@dataclass
class Rig:
    """A shim and the stub behind it. ``others`` are further stubs named by the settings."""

    case: str
    shim: Shim
    stub: Stub
    others: dict[str, Stub] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    start: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def protocol(self) -> str:
        """The upstream's protocol: http or uwsgi."""
        return self.stub.protocol

    @property
    def scheme(self) -> str:
        """How the shim is spoken to."""
        return "https" if self.tls else "http"

    @property
    def is_unix(self) -> bool:
        """Whether the upstream is on a unix socket, where a reset cannot be made at will."""
        return self.stub.path is not None

    def client(self, patience: float | None = None) -> Client:
        """A new connection to the proxied listener."""
        address = ("127.0.0.1", self.shim.port)
        return Client(address, PATIENCE if patience is None else patience, tls=self.tls)

    def ask(self, request: bytes, method: str = "", *, pieces: Iterable[bytes] = ()) -> Answer:
        """Send one request on a connection of its own, whole or in pieces, and read the answer."""
        with self.client() as client:
            client.send(*(pieces or [request]))
            return client.answer(method or request.split(b" ", 1)[0].decode("latin-1"))

    def ask_together(self, requests: Iterable[bytes]) -> list[Answer]:
        """Send requests on a connection each, then read the answers; after each comes a FIN."""
        with contextlib.ExitStack() as stack:
            clients = []
            for request in requests:
                clients.append(stack.enter_context(self.client()))
                clients[-1].send(request)
            answers = [client.answer() for client in clients]
            assert [client.wire.rest() for client in clients] == [(b"", "fin")] * len(clients)
            return answers

    # -- between tests ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forget what earlier tests, or rows, did; in them neither side saw the other do wrong."""
        size = self.shim.log_size()
        try:
            self._assert_faultless()
        finally:
            for stub in self._stubs:
                stub.forget()
            self.start = size

    def settle(self) -> None:
        """After a test: nothing is held any more, and neither side saw the other do wrong."""
        if self.shim.running:
            self.shim.await_rest()
        self._assert_faultless()

    def _assert_faultless(self) -> None:
        faults = [fault for stub in self._stubs for fault in stub.faults]
        assert not faults, faults
        assert not self.shim.complaints(self.start), self.shim.log_text(self.start)[-4000:]

    @property
    def _stubs(self) -> list[Stub]:
        return [self.stub, *self.others.values()]

    # -- claims ---------------------------------------------------------------------------------------

    def assert_untouched(self) -> None:
        """Nothing has reached the upstream: a request sent now is the first and only one it sees."""
        target = f"/barrier/{next(self._numbers)}"
        answer = self.ask(get(target))
        assert answer.status == 200, answer
        assert [str(seen.target) for seen in self.stub.requests] == [target], self.stub.story()
        assert self.stub.touched <= 1, f"{self.stub.touched} connections were written to; {self.stub.story()}"
        assert not self.stub.fragments, self.stub.story()

    def assert_refused(self, request: bytes | Iterable[bytes], *codes: str, hidden: bool = True) -> Answer:
        """A request is refused with one of these codes: readable answer, FIN, upstream untouched.

        A second request hidden behind it is never served.
        """
        with self.client() as client:
            pieces = [request] if isinstance(request, bytes) else list(request)
            client.offer(*pieces, *([HIDDEN] if hidden else []))
            answer = client.answer()
            self.assert_problem(answer, *codes)
            rest, end = client.wire.rest()
        assert not rest, f"after the refusal came {rest[:300]!r}"
        assert end == "fin", f"the refusal ended by {end}"
        assert not answer.interim, answer
        self.assert_untouched()
        return answer

    def assert_sent_once(self) -> None:
        """The one request was not sent again.

        Only a safe one on a used connection that ended without a byte of an answer may be (RFC 9110 9.2.2):
        such a connection may have been closed before the request, and nobody can tell.
        """
        first, *again = self.stub.requests
        assert not again or (first.position > 1 and first.method in ("GET", "HEAD") and len(again) == 1), (
            f"a delivered request was sent again; {self.stub.story()}"
        )

    def keep_connection(self) -> int:
        """Let the shim have an idle connection to the upstream; gives its number. HTTP only."""
        with self.client() as client:
            for number in range(3):
                client.send(get(f"/kept/{number}"))
                assert client.answer().status == 200
        last = self.stub.requests[-1]
        assert last.position > 1, f"no connection was used again; {self.stub.story()}"
        self.stub.forget()
        return last.connection

    def assert_problem(self, answer: Answer, *codes: str) -> None:
        """An answer of the shim itself, in its JSON form, with one of these codes and its status."""
        assert answer.media_type == "application/problem+json", answer
        problem = answer.problem
        assert problem.get("code") in codes, answer
        assert answer.complete, answer
        assert answer.status == STATUSES[problem["code"]] == problem["status"], answer
        assert {"status", "title", "detail", "code", "request_id"} <= problem.keys(), answer
        assert isinstance(problem["title"], str), answer
        assert problem["title"], answer
        assert isinstance(problem["detail"], str), answer
        assert problem["detail"], answer
        assert REQUEST_ID.fullmatch(problem["request_id"]), answer
        if answer.status in (429, 503):
            assert re.fullmatch("[1-9][0-9]*", answer.header("Retry-After") or ""), answer


Plan = Callable[[Stub, Path, dict[str, Stub]], tuple[Mapping[str, Any], Sequence[Route]]]
"""Settings and routes of a shim that need the stub's address; it may add further stubs."""


def several(stub: Stub, folder: Path, others: dict[str, Stub]) -> tuple[Mapping[str, Any], Sequence[Route]]:
    """Four upstreams beside ``main``, each under its path.

    ``first`` has servers that refuse before the stub, ``dead`` only such ones, ``pair`` the stub and a second
    one, and ``image`` is the stub, mounted.
    """

    def place(name: str) -> Path | None:
        return folder / f"{name}.sock" if stub.path else None

    refusing = []
    for name in ("refuses", "refuses2"):
        others[name] = Stub(stub.protocol, place(name), listening=False)
        refusing.append(others[name].url)
    if stub.path:
        refusing.insert(1, f"{stub.protocol}+unix://{folder}/missing.sock")
    others["second"] = Stub(stub.protocol, place("second"))
    servers = {
        "main": [stub.url],
        "first": [*refusing, stub.url],
        "dead": refusing,
        "pair": [stub.url, others["second"].url],
        "image": [stub.url],
    }
    settings = {f"upstreams.{name}.servers": urls for name, urls in servers.items()} | {
        "upstreams.image.mount": "/image",
        "timeouts.connect_retry": "600ms",
        "timeouts.connect": "2s",
    }
    routes = [{"path": f"/{name}/**", "upstream": name} for name in ("first", "dead", "pair")]
    routes += [{"path": path, "upstream": "image"} for path in ("/image", "/image/**")]
    return settings, [*routes, {"path": "/**", "upstream": "main"}]


class Identity:
    """A certificate for the shims of a pool, and what clients need to trust it."""

    def __init__(self, folder: Path) -> None:
        authority = make_authority(folder)
        certificate, key = make_certificate(folder, "shim", "IP:127.0.0.1")
        self.context = ssl.create_default_context(cafile=authority)
        self.settings = {"server.tls.certificate": str(certificate), "server.tls.key": str(key)}


def _settings(case: str) -> dict[str, Any]:
    """What a case asks of the shim, beside its upstream."""
    if case in AS_SHIPPED:
        return {}
    return WAYS[case.rpartition("-")[2]]


class RigPool:
    """Rigs by case and settings, made when first asked for. The least recently used ones end first."""

    def __init__(self, limit: int = 30) -> None:
        self.limit = limit
        self.rigs: OrderedDict[tuple[object, ...], tuple[Rig, contextlib.ExitStack]] = OrderedDict()
        self._numbers = itertools.count()
        self._folder = tempfile.TemporaryDirectory(prefix="shim-")
        self.trap = Stub("http")
        self._identity: Identity | None = None

    def rig(
        self,
        case: str,
        settings: Settings | None = None,
        *,
        plan: Plan | None = None,
        ready: int | None = 200,
        fresh: bool = False,
    ) -> Rig:
        """The rig for a case with these settings; ``fresh`` starts one that nobody else has used."""
        key = (case, repr(sorted((settings or {}).items())), plan, next(self._numbers) if fresh else None)
        if key in self.rigs and not self.rigs[key][0].shim.running:
            self._end(key)
        if key not in self.rigs:
            while len(self.rigs) >= self.limit:
                self._end(next(iter(self.rigs)))
            self.rigs[key] = self._make(case, settings or {}, plan, ready)
        self.rigs.move_to_end(key)
        rig = self.rigs[key][0]
        rig.begin()
        return rig

    def _make(
        self, case: str, settings: Settings, plan: Plan | None, ready: int | None
    ) -> tuple[Rig, contextlib.ExitStack]:
        kind, _, way = case.rpartition("-")
        identity = self._make_identity() if way in TLS else None
        folder = Path(self._folder.name) / str(next(self._numbers))
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            stub = stack.enter_context(self.stub(kind, folder))
            others: dict[str, Stub] = {}
            planned: dict[str, Any] = {"upstream": stub.url}
            routes: Sequence[Route] = ()
            if plan:
                given, routes = plan(stub, folder, others)
                planned = dict(given)
                for other in others.values():
                    stack.enter_context(other)
            shim = Shim(
                folder,
                {**planned, **_settings(case), **(identity.settings if identity else {}), **settings},
                routes=routes,
                ready=ready,
                environment=self._environment(),
                forked=True,
            )
            stack.enter_context(shim)
            return Rig(case, shim, stub, others, identity and identity.context), stack.pop_all()
        raise AssertionError

    def stub(self, kind: str, folder: Path, name: str = "stub", *, listening: bool = True) -> Stub:
        """A stub of a kind."""
        protocol, unix = KINDS[kind]
        return Stub(protocol, folder / f"{name}.sock" if unix else None, listening=listening)

    def _make_identity(self) -> "Identity":
        if self._identity is None:
            folder = Path(self._folder.name) / "identity"
            folder.mkdir()
            self._identity = Identity(folder)
        return self._identity

    def _environment(self) -> dict[str, str]:
        """Proxy variables that lead into the trap: a shim that heeds them never reaches its upstream."""
        proxy = f"http://127.0.0.1:{self.trap.address[1]}"
        return dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"), proxy)

    def _end(self, key: tuple[object, ...]) -> None:
        _, stack = self.rigs.pop(key)
        stack.close()

    def discard(self, rig: Rig) -> None:
        """Kill a rig after a failure, so that the next test gets a fresh one."""
        for key, (other, stack) in list(self.rigs.items()):
            if other is rig:
                del self.rigs[key]
                rig.shim.kill()
                stack.close()

    def close(self) -> None:
        """End all."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._folder.cleanup)
            stack.callback(self.trap.close)
            for rig, ending in self.rigs.values():
                rig.shim.ask_to_end()  # all at once; each is waited for when its stack closes
                stack.push(ending)
            self.rigs.clear()


__all__ = [
    "BAD_HEAD",
    "CASES",
    "EACH_ONCE",
    "HIDDEN",
    "HOST",
    "KEPT",
    "KINDS",
    "SHORT",
    "TIGHT",
    "WAYS",
    "Rig",
    "RigPool",
    "can_differ",
    "cases",
    "each_once",
    "only",
    "several",
]
