"""The admin pages as a browser, a load balancer and a scraper see them, over parts that do as told."""

import asyncio
import contextlib
import html.parser
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shim import __version__
from shim.admission.drain import Drain
from shim.app.admin import Admin
from shim.app.answers import STATUSES
from shim.app.cloud_presence import CloudPresence
from shim.app.colleagues import SoleWorker, WorkerSilent
from shim.app.explanations import EXPLANATIONS
from shim.app.feed import Feed
from shim.app.health import Readiness, ServerHealth
from shim.app.looking import snapshot_maker
from shim.app.stopping import Canceller
from shim.app.view import LINE, View
from shim.cloud.joining import shim_name
from shim.cloud.published import encode_uploads
from shim.cloud.server import CloudAway
from shim.observe.cloud import CloudView
from shim.observe.counters import Counters
from shim.observe.journal import Journal, Phase
from shim.spool.budget import Budget
from shim.spool.space import Space
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.health import Health, Sign
from tests.fakes.disk import PLENTY, FakeDisk
from tests.fakes.loops import run
from tests.support.series import series

SERVER = parse_upstream("uwsgi+unix:///run/glance.sock")
READY = Readiness(ready=True, faults=[])


class ToldHealth:
    """In place of the health watch."""

    def __init__(self, readiness: Readiness = READY, slots: float = 3) -> None:
        self._readiness = readiness
        self.slots = slots

    async def readiness(self, _life: str) -> Readiness:
        return self._readiness

    async def servers(self) -> list[ServerHealth]:
        return [ServerHealth("glance", SERVER, 1, Health(Sign.ANSWERS, "answers the ping"), self.slots)]


class ToldUpstream:
    """In place of an upstream: its one server has two requests of ours, and five wait for it."""

    servers = (SimpleNamespace(address=SERVER, inflight=2, drain_rate=7.5),)
    roster = (SimpleNamespace(name=str(SERVER), state=lambda _now: "returning"),)
    queue = SimpleNamespace(waiting=5)

    @staticmethod
    def clock():
        return 0.0


class ToldCloud:
    """In place of this worker's membership: what others have published, or why that cannot be had."""

    def __init__(self, *published: bytes, away: str = "") -> None:
        self._published = published
        self._away = away

    def view(self) -> CloudView:
        return CloudView(not self._away, self._away, 7, 3)

    async def published(self) -> list[bytes]:
        if self._away:
            raise CloudAway(self._away)
        return [*self._published]


class Pages:
    """The admin application and the parts behind it."""

    def __init__(
        self,
        *,
        readiness: Readiness = READY,
        limit: float = 4096,
        slots: float = 3,
        cloud: ToldCloud | None = None,
    ) -> None:
        self.now = 100.0
        self.kept = contextlib.ExitStack()
        self.drain = Drain()
        self.disk = FakeDisk(free=600)
        self.store = Store(self.disk, Budget(limit), SpoolOptions())
        self.journal = Journal(Counters(), clock=lambda: self.now, access=False)
        own = snapshot_maker(self.drain, self.store, self.journal, {"glance": ToldUpstream()}, cloud)
        colleagues = SoleWorker(own, Canceller(self.journal).cancel)
        presence = CloudPresence(colleagues, cloud)
        health = ToldHealth(readiness, slots)
        view = View(self.store, health, colleagues, presence, clock=lambda: self.now)
        self.application = Admin(view, Feed(view.now)).application()

    def get(self, path: str, method: str = "GET") -> httpx.Response:
        async def story() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
                return await client.request(method, path)

        return run(story())


def upload(pages: Pages) -> Any:
    """A request with a body, ten seconds old."""
    entered = pages.journal.record(id="req-1", method="PUT", path="/v2/images/x/file", client="192.0.2.1")
    record = entered.__enter__()
    record.has_body, record.length, record.received = True, 4000, 1000
    record.project, record.image, record.phase = "192.0.2.1", "x", Phase.RECEIVE
    pages.now += 10
    return entered


UPLOAD = {
    "key": "0-1",
    "id": "req-1",
    "method": "PUT",
    "path": "/v2/images/x/file",
    "project": "192.0.2.1",
    "image": "x",
    "server": "",
    "bytes": 1000,
    "length": 4000,
    "rate": 100.0,
    "phase": "receive",
    "age": 10.0,
}


def test_alive():
    answer = Pages().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "alive\n")


def test_alive_to_the_end():
    pages = Pages(readiness=Readiness(ready=False, faults=["the shim is draining"]))
    pages.drain.begin()
    assert pages.get("/healthz").status_code == 200


def test_ready():
    answer = Pages().get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\n")


def test_all_workers_are_asked_once_whether_they_are_ready(monkeypatch):
    """One that hangs is waited for each time, and who probes waits for seconds only."""
    asked, whole = [], SoleWorker.whole

    async def counting(self):
        asked.append(self)
        return await whole(self)

    monkeypatch.setattr(SoleWorker, "whole", counting)
    assert Pages(cloud=ToldCloud(away="no answer")).get("/readyz").text.count("\n") == 2
    assert len(asked) == 1


def test_not_ready_with_every_reason():
    pages = Pages(readiness=Readiness(ready=False, faults=["one", "two"]))
    answer = pages.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready: one\nnot ready: two\n")


def test_metrics():
    answer = Pages().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert values["glance_shim_disk_free_bytes"] == 600
    assert values["glance_shim_upstream_inflight"] == 2
    assert values["glance_shim_ready"] == 1
    unready = Pages(readiness=Readiness(ready=False, faults=["one"])).get("/metrics").text
    assert "\nglance_shim_ready 0.0\n" in unready


def test_help_for_a_refusal():
    pages = Pages()
    page = pages.get("/help/spool_full").text
    assert "503 Service Unavailable: spool_full" in page
    assert "<code>spool.max_total</code>" in page
    assert pages.get("/help/no_such_code").status_code == 404
    index = pages.get("/help").text
    assert all(f'<a href="help/{code}">' in index for code in STATUSES)


def test_uploads():
    pages = Pages()
    assert pages.get("/uploads").json() == []
    with pages.journal.record(id="req-2", method="GET", path="/", client="a"):
        under_way = upload(pages)
        assert pages.get("/uploads").json() == [UPLOAD | {"key": "0-2"}]
        under_way.__exit__(None, None, None)
        assert pages.get("/uploads").json() == []


def test_uploads_of_a_shim_that_is_alone():
    pages = Pages()
    under_way = upload(pages)
    assert pages.get("/uploads?scope=all").json() == [{"shim": shim_name()} | UPLOAD]
    under_way.__exit__(None, None, None)


def test_uploads_of_the_cloud():
    # A key is of use in its own shim only, and which of its servers an upload is in is its own affair.
    published = {name: value for name, value in UPLOAD.items() if name not in ("key", "server")}
    older, newer = published | {"age": 20.0}, published | {"age": 5.0}
    cloud = ToldCloud(encode_uploads("one", [newer]), b"rubbish", encode_uploads("two", [older]))
    pages = Pages(cloud=cloud)
    assert pages.get("/uploads?scope=all").json() == [{"shim": "two"} | older, {"shim": "one"} | newer]
    assert pages.get("/uploads?scope=none").json() == []
    assert pages.get("/status.json").json()["cloud"] == {
        "is_there": True,
        "reason": "",
        "uploads": 7,
        "members": 3,
    }
    assert pages.get("/readyz").text == "ready\n"


def test_a_cloud_that_is_away():
    pages = Pages(cloud=ToldCloud(away="no answer"))
    answer = pages.get("/uploads?scope=all")
    assert (answer.status_code, answer.text) == (503, "limits.shared is away: no answer\n")
    # The shim serves: it is to be seen, and no reason to be left out.
    answer = pages.get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\nlimits.shared is away: no answer\n")


def test_an_upload_of_unknown_length_that_has_just_begun():
    pages = Pages()
    with pages.journal.record(id="req-1", method="PUT", path="/", client="a") as record:
        record.has_body = True
        (told,) = pages.get("/uploads").json()
    assert (told["length"], told["phase"], told["rate"], told["age"]) == (None, None, 0.0, 0.0)


def test_status():
    pages = Pages(readiness=Readiness(ready=False, faults=["one"]))
    pages.drain.leave()
    pages.journal.counters.failures["glance", str(SERVER)] = 4
    with pages.journal.record(id="req-0", method="GET", path="/", client="a") as record:
        record.status, record.code = 503, "draining"
    under_way = upload(pages)
    answer = pages.get("/status.json")
    under_way.__exit__(None, None, None)
    told = answer.json()
    history = told.pop("history")
    assert (history["step"], len(history["rate"])) == (10, LINE)
    assert told == {
        "version": __version__,
        "life": "leaving",
        "workers": 1,
        "ready": False,
        "faults": ["one"],
        "state": "draining",
        "notices": [
            {
                "level": "warning",
                "title": "The shim is leaving",
                "text": "Uploads under way may end (timeouts.drain); "
                "new ones are sent elsewhere by the load balancer.",
            },
            {
                "level": "warning",
                "title": "The spool's disk is nearly down to its reserve",
                "text": "Something else may be filling it. "
                "Below spool.min_free uploads are refused with 507 disk_full.",
            },
        ],
        "at": 110.0,
        "received": 1000,
        "spool": {
            "held": 0,
            "leased": 0,
            "limit": 4096,
            "files": 0,
            "disk_free": 600,
            "disk_total": PLENTY,
            "reserve": 0,
        },
        "requests": 1,
        "refusals": {"draining": 1},
        "refused": [
            {
                "code": "draining",
                "hour": 1,
                "total": 1,
                "advice": EXPLANATIONS["draining"].do.replace("`", ""),
            }
        ],
        "servers": [
            {
                "upstream": "glance",
                "server": "uwsgi+unix:///run/glance.sock",
                "state": "up",
                "states": {"returning": 1},
                "inflight": 2,
                "slots": 3,
                "weight": 1.0,
                "failures": 4,
                "up": True,
                "reason": "answers the ping",
                "drain_rate": 7.5,
            }
        ],
        "waiting": {"glance": 5},
        "phases": {"receiving": 1, "waiting": 0, "forwarding": 0},
        "cloud": None,
        "uploads": [UPLOAD | {"key": "0-2"}],
    }


def test_no_limit_is_null():
    status = Pages(limit=UNLIMITED, slots=UNLIMITED).get("/status.json").json()
    assert status["spool"]["limit"] is None
    assert status["servers"][0]["slots"] is None


class Sources(html.parser.HTMLParser):
    """Everything that a page would load from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.titles = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.titles += tag == "title"
        outside = [(name, value) for name, value in attrs if not str(value).startswith(("#", "data:"))]
        self.found += [f"{tag} {value}" for name, value in outside if name in ("src", "href", "action")]
        self.found += [f"{tag} {name}" for name, value in attrs if name.startswith("on")]


def test_the_status_page():
    answer = Pages().get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    page = Sources(answer.text)
    assert page.titles == 1
    # For a person whose browser runs no scripts.
    assert page.found == ["a status.json"]


@series("path", ["/", "/healthz", "/readyz", "/metrics", "/status.json", "/uploads", "/events"])
def test_pages_are_for_reading_only(path):
    pages = Pages()
    head = pages.get(path, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    for method in ("POST", "PUT", "DELETE"):
        assert pages.get(path, method).status_code == 405


@pytest.mark.parametrize("path", ["/v2/images", "/healthz/x", "/status"])
def test_nothing_else_is_there(path):
    assert Pages().get(path).status_code == 404


def test_pages_that_need_the_disk_wait_for_it_without_holding_up_the_others():
    async def story() -> tuple[int, int]:
        pages = Pages()
        asked = asyncio.Event()
        gate = asyncio.Event()

        async def space() -> Space:
            asked.set()
            await gate.wait()
            return Space(1, 1)

        pages.disk.space = space
        transport = httpx.ASGITransport(pages.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            slow = asyncio.ensure_future(client.get("/metrics"))
            await asked.wait()
            alive = await client.get("/healthz")
            gate.set()
            return alive.status_code, (await slow).status_code

    assert run(story()) == (200, 200)


# -- ending uploads -------------------------------------------------------------------------------


def stopped_by(pages: Pages, identity: str) -> list[Any]:
    """An upload under way, and the errors that it was ended with."""
    ended: list[Any] = []
    entered = pages.journal.record(id=identity, method="PUT", path="/", client="192.0.2.1")
    record = pages.kept.enter_context(entered)
    record.has_body, record.stop = True, lambda error: ended.append(error) is None
    return ended


def test_an_upload_is_ended_by_its_request_id_or_by_its_key():
    pages = Pages()
    by_id, by_key = stopped_by(pages, "req-1"), stopped_by(pages, "req-2")
    for name, ended in (("req-1", by_id), ("0-2", by_key)):
        answer = pages.get(f"/uploads/{name}/cancel", "POST")
        assert (answer.status_code, answer.json()["result"]) == (202, "cancelled")
        assert [error.code for error in ended] == ["cancelled"]
        assert "address 127.0.0.1" in ended[0].for_operator
        assert "127.0.0.1" not in ended[0].detail


def test_a_request_id_that_several_chose_ends_none_of_them():
    pages = Pages()
    both = stopped_by(pages, "req-1"), stopped_by(pages, "req-1")
    answer = pages.get("/uploads/req-1/cancel", "POST")
    assert (answer.status_code, both) == (409, ([], []))
    assert answer.json()["detail"].endswith("0-1, 0-2")


@series("name", ["req-9", "0-9", "7-1", "%2e%2e", "x" * 5000])
def test_what_is_not_under_way_is_not_ended(name):
    pages = Pages()
    ended = stopped_by(pages, "req-1")
    assert pages.get(f"/uploads/{name}/cancel", "POST").status_code == 404
    assert pages.get("/uploads/req-1/cancel").status_code == 405
    assert ended == []


def test_silence_is_no_refusal(monkeypatch):
    """A worker that does not answer may still end the upload: it must not be told that there is none."""

    async def silent(_self, key, _who):
        raise WorkerSilent(key)

    monkeypatch.setattr(SoleWorker, "cancel", silent)
    pages = Pages()
    stopped_by(pages, "req-1")
    answer = pages.get("/uploads/req-1/cancel", "POST")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "its worker did not answer; it may still be ended",
    )
