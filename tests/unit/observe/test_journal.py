"""The journal, told the time: what it knows of a request while it lives, and what is left of it."""

import logging

import pytest

from shim.observe.counters import Counters
from shim.observe.journal import UPLOAD_PHASES, Journal, Phase

HEAD = {"id": "req-1", "method": "PUT", "path": "/v2/images/x/file", "client": "192.0.2.1"}


class ToldTime:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return ToldTime()


@pytest.fixture
def journal(clock):
    return Journal(Counters(), clock=clock)


def test_a_record_lives_as_long_as_its_request(journal):
    assert journal.live() == []
    with journal.record(**HEAD) as one, journal.record(**{**HEAD, "id": "req-2"}) as two:
        assert journal.live() == [one, two]
    assert journal.live() == []


def test_two_requests_of_one_id_are_two_records(journal):
    with journal.record(**HEAD) as one:
        with journal.record(**HEAD):
            assert len(journal.live()) == 2
        assert journal.live() == [one]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_error_removes_the_record_and_is_counted(journal, error):
    def serve() -> None:
        with journal.record(**HEAD) as record:
            record.route, record.status = "image-upload", 502
            raise error

    with pytest.raises(error):
        serve()
    assert journal.live() == []
    assert journal.counters.requests == {("image-upload", "PUT", 502): 1}


def test_age(journal, clock):
    with journal.record(**HEAD) as record:
        clock.now += 2.5
        assert journal.age(record) == 2.5


# -- phases ---------------------------------------------------------------------------------------

WALKS = [
    # (phase entered, seconds until the next), seconds by phase
    pytest.param([], {}, id="none"),
    pytest.param([(Phase.RECEIVE, 2.0)], {Phase.RECEIVE: 2.0}, id="one"),
    pytest.param(
        [
            (Phase.RECEIVE, 8.0),
            (Phase.QUEUE, 0.5),
            (Phase.SEND, 1.0),
            (Phase.WAIT, 4.0),
            (Phase.RESPOND, 2.0),
        ],
        {Phase.RECEIVE: 8.0, Phase.QUEUE: 0.5, Phase.SEND: 1.0, Phase.WAIT: 4.0, Phase.RESPOND: 2.0},
        id="all in order",
    ),
    pytest.param(
        [(Phase.CONNECT, 1.0), (Phase.SEND, 2.0), (Phase.CONNECT, 4.0), (Phase.SEND, 8.0)],
        {Phase.CONNECT: 5.0, Phase.SEND: 10.0},
        id="a second attempt adds up",
    ),
    pytest.param([(Phase.SEND, 1.0), (Phase.SEND, 2.0)], {Phase.SEND: 3.0}, id="entered twice"),
    pytest.param([(Phase.SEND, 1.0), (None, 2.0), (Phase.SEND, 4.0)], {Phase.SEND: 5.0}, id="a gap"),
    pytest.param([(Phase.QUEUE, 0.0)], {Phase.QUEUE: 0.0}, id="no time"),
]


@pytest.mark.parametrize(("walk", "seconds"), WALKS)
def test_phases_add_up(journal, clock, walk, seconds):
    with journal.record(**HEAD) as record:
        clock.now += 16  # before the first phase: belongs to none
        for phase, stay in walk:
            journal.enter(record, phase)
            assert record.phase is phase
            clock.now += stay
    assert record.phase is None
    assert record.phases == seconds
    assert {name: histogram.total for name, histogram in journal.counters.phases.items()} == seconds


def test_the_phases_of_spec():
    assert [*Phase] == ["receive", "queue", "connect", "send", "wait", "respond"]


@pytest.mark.parametrize(
    ("phase", "where"),
    [
        (Phase.RECEIVE, "receiving"),
        (Phase.QUEUE, "waiting"),
        (Phase.CONNECT, "forwarding"),
        (Phase.SEND, "forwarding"),
        (Phase.WAIT, "forwarding"),
        (Phase.RESPOND, "forwarding"),
        (None, None),
    ],
)
def test_uploads_by_where_the_body_is(journal, phase, where):
    nowhere = dict.fromkeys(("receiving", "waiting", "forwarding"), 0)
    assert journal.uploads() == nowhere
    with journal.record(**HEAD) as record, journal.record(**HEAD) as without_body:
        record.has_body = True
        journal.enter(record, phase)
        journal.enter(without_body, phase)
        assert journal.uploads() == (nowhere if where is None else nowhere | {where: 1})
    assert journal.uploads() == nowhere


def test_every_phase_is_somewhere():
    assert UPLOAD_PHASES.keys() == {*Phase}


# -- what is left ---------------------------------------------------------------------------------


def test_what_is_counted(journal):
    with journal.record(**HEAD) as record:
        record.route, record.mode, record.status, record.received = "image-upload", "auto", 204, 100
    with journal.record(**HEAD) as record:
        record.route, record.mode, record.status, record.received = "image-upload", "auto", 413, 11
        record.code = "body_too_large"
    with journal.record(**HEAD) as record:
        record.route, record.status = "default", 200
    counters = journal.counters
    assert counters.requests == {
        ("image-upload", "PUT", 204): 1,
        ("image-upload", "PUT", 413): 1,
        ("default", "PUT", 200): 1,
    }
    assert counters.refusals == {"body_too_large": 1}
    assert counters.body_bytes == {"auto": 111}


def test_the_access_line(journal, clock, caplog):
    caplog.set_level(logging.INFO, "shim.access")
    with journal.record(**HEAD) as record:
        journal.enter(record, Phase.RECEIVE)
        clock.now += 1.25
        record.status, record.received, record.sent = 204, 6, 0
    (line,) = caplog.records
    assert line.getMessage() == "PUT /v2/images/x/file 204"
    assert line.fields == {
        "request_id": "req-1",
        "client": "192.0.2.1",
        "project": "",
        "image": "",
        "method": "PUT",
        "path": "/v2/images/x/file",
        "route": "",
        "mode": "",
        "upstream": "",
        "server": "",
        "status": 204,
        "received": 6,
        "sent": 0,
        "seconds": 1.25,
        "phases": {"receive": 1.25},
        "end": "ok",
    }


def test_times_are_told_to_a_tenth_of_a_millisecond(journal, clock, caplog):
    caplog.set_level(logging.INFO, "shim.access")
    with journal.record(**HEAD) as record:
        journal.enter(record, Phase.SEND)
        clock.now += 0.12345678
    (line,) = caplog.records
    assert (line.fields["seconds"], line.fields["phases"]) == (0.1235, {"send": 0.1235})


def test_a_request_that_came_to_nothing(journal, caplog):
    caplog.set_level(logging.INFO, "shim.access")
    with journal.record(**HEAD):
        pass
    (line,) = caplog.records
    assert (line.fields["status"], line.fields["received"], line.fields["sent"]) == (0, 0, 0)
    assert journal.counters.requests == {("", "PUT", 0): 1}
    assert journal.counters.refusals == journal.counters.body_bytes == {}


def test_the_access_line_of_a_refusal(journal, caplog):
    caplog.set_level(logging.INFO, "shim.access")
    with journal.record(**HEAD) as record:
        record.status, record.code, record.detail = 413, "body_too_large", "Too large."
    (line,) = caplog.records
    assert (line.fields["end"], line.fields["detail"]) == ("body_too_large", "Too large.")


def test_the_access_log_can_be_off(clock, caplog):
    caplog.set_level(logging.INFO, "shim.access")
    journal = Journal(Counters(), clock=clock, access=False)
    with journal.record(**HEAD):
        pass
    assert caplog.records == []
    assert journal.counters.requests.total() == 1


def test_an_access_line_is_a_record_of_logging_like_any_other(journal, caplog):
    caplog.set_level(logging.INFO)
    with journal.record(**HEAD) as record:
        record.status = 201
    (line,) = caplog.records
    extra = {"fields": line.fields, "head": None}
    logging.getLogger("shim.access").info("%s %s %d", *line.args, extra=extra)
    other = caplog.records[-1]
    assert line.getMessage() == other.getMessage() == "PUT /v2/images/x/file 201"
    assert vars(line).keys() >= vars(other).keys()
    same = {"name", "msg", "args", "levelno", "levelname", "fields", "head", "exc_info", "stack_info"}
    assert {key: vars(line)[key] for key in same} == {key: vars(other)[key] for key in same}
    assert 0 <= other.created - line.created < 60
    assert line.msecs == pytest.approx(line.created % 1 * 1000)
