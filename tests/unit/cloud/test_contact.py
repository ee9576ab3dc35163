"""The circuit breaker and the heartbeat, told the time."""

import pytest

from shim.cloud.contact import Contact


def test_declarations_are_due_three_times_in_a_life():
    contact = Contact(30, now=100)
    assert contact.is_due(100)
    assert contact.heard(100, declared=True)
    assert contact.is_there
    assert (contact.is_due(109.9), contact.is_due(110)) == (False, True)
    # What is heard in between is no declaration.
    assert not contact.heard(109, declared=False)
    assert contact.due == 110


def test_after_a_failure_it_is_tried_after_pauses_that_grow_up_to_a_beat():
    contact = Contact(30, now=0)
    contact.heard(0, declared=True)
    pauses = []
    now = 1.0
    for _ in range(9):
        contact.failed(now, "away")
        assert not contact.is_there
        pauses.append(contact.due - now)
        now = contact.due
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 10, 10, 10]
    contact.heard(now, declared=True)
    contact.failed(now, "away")
    assert contact.due - now == 0.25


def test_a_loss_is_news_once_and_so_is_a_return():
    contact = Contact(30, now=0)
    # Never there, at the start: that is to be told too.
    assert contact.failed(0, "refused")
    assert not contact.failed(1, "still refused")
    assert contact.reason == "still refused"
    assert contact.heard(2, declared=True)
    assert contact.reason == ""
    assert not contact.heard(3, declared=True)
    assert contact.failed(4, "late")
    assert not contact.failed(5, "late")


@pytest.mark.parametrize("life", [0.3, 3, 3600])
def test_no_pause_is_longer_than_a_beat(life):
    contact = Contact(life, now=0)
    for _ in range(30):
        contact.failed(0, "away")
        assert contact.due <= life / 3
