"""Admissions: whose they are, how long they hold, and that tokens are not kept."""

import pytest

from shim.service import admissions as module
from shim.service.admissions import KEPT_FOR, Admissions
from tests.fakes.uploads import upload_message

ASKED = upload_message()


class Time:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def admissions(clock):
    return Admissions(clock=clock)


def test_an_admission_holds_for_seconds(admissions, clock):
    key = admissions.key("images", ASKED)
    assert admissions.owner(key) is None
    admissions.add(key, "a-project")
    clock.now += KEPT_FOR - 0.1
    assert admissions.owner(key) == "a-project"
    clock.now += 0.1
    assert admissions.owner(key) is None


def test_an_image_without_owner_is_admitted_too(admissions):
    key = admissions.key("images", ASKED)
    admissions.add(key, "")
    assert admissions.owner(key) == ""


@pytest.mark.parametrize(
    ("upstream", "question"),
    [
        pytest.param("others", ASKED, id="another upstream"),
        pytest.param("images", ASKED._replace(target=b"/v2/images/2"), id="another image"),
        pytest.param("images", ASKED._replace(headers=[(b"x-auth-token", b"other")]), id="another token"),
        pytest.param("images", ASKED._replace(headers=[]), id="no token"),
        pytest.param("images", upload_message((b"x-service-token", b"s")), id="with a service token"),
        pytest.param("images", upload_message((b"cookie", b"s")), id="with a cookie"),
        pytest.param("images", upload_message((b"x-auth-token", b"second")), id="with two tokens"),
    ],
)
def test_it_is_nobody_elses(admissions, upstream, question):
    admissions.add(admissions.key("images", ASKED), "a-project")
    assert admissions.owner(admissions.key(upstream, question)) is None


def test_parts_do_not_run_together(admissions):
    one = ASKED._replace(headers=[(b"x-auth-token", b"ab"), (b"x-auth-token", b"c")])
    other = ASKED._replace(headers=[(b"x-auth-token", b"a"), (b"x-auth-token", b"bc")])
    assert admissions.key("images", one) != admissions.key("images", other)


def test_what_does_not_say_who_asks_does_not_count(admissions):
    key = admissions.key("images", ASKED)
    assert admissions.key("images", upload_message((b"x-request-id", b"req-2"))) == key


def test_the_token_is_not_kept(admissions):
    admissions.add(admissions.key("images", ASKED), "a-project")
    assert b"secret-of-client" not in repr(vars(admissions)).encode()
    assert Admissions().key("images", ASKED) != admissions.key("images", ASKED)


def test_outdated_ones_are_dropped(admissions, clock):
    admissions.add(b"1", "")
    clock.now += KEPT_FOR / 2
    admissions.add(b"2", "")
    clock.now += KEPT_FOR / 2
    admissions.add(b"3", "")
    assert len(admissions) == 2
    assert admissions.owner(b"2") == ""


def test_one_that_is_renewed_lasts_on(admissions, clock):
    admissions.add(b"1", "")
    clock.now += KEPT_FOR - 1
    admissions.add(b"1", "")
    clock.now += 2
    admissions.add(b"2", "")
    assert admissions.owner(b"1") == ""


def test_there_are_only_so_many(admissions, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 10)
    for number in range(25):
        admissions.add(b"%d" % number, "")
        assert len(admissions) <= 10
    assert admissions.owner(b"24") == ""
    assert admissions.owner(b"14") is None
