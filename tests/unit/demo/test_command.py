"""``glance-shim demo``: what faults and signals become."""

import os
import signal

import pytest

from shim.commands import demo
from shim.demo import DemoError


def raise_signal(number):
    def tell(_terminal, *, once):
        os.kill(os.getpid(), number)
        pytest.fail("the signal did not interrupt")

    return tell


def test_the_storys_status_is_the_commands(monkeypatch):
    monkeypatch.setattr(demo, "tell_story", lambda _terminal, *, once: 0 if once else 1)
    assert demo.run(once=True) == 0
    assert demo.run(once=False) == 1


def test_a_fault_is_told_on_standard_error(monkeypatch, capsys):
    def fail(_terminal, *, once):
        raise DemoError("no network")

    monkeypatch.setattr(demo, "tell_story", fail)
    assert demo.run(once=True) == 1
    assert capsys.readouterr().err == "glance-shim demo: no network\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ending_signals_interrupt_and_are_given_back(monkeypatch, capsys, number):
    before = signal.getsignal(number)
    monkeypatch.setattr(demo, "tell_story", raise_signal(number))
    assert demo.run(once=True) == 1
    assert "everything is stopped" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_a_second_signal_does_not_disturb_the_clean_up(monkeypatch):
    cleaned = []

    def tell(_terminal, *, once):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)

    monkeypatch.setattr(demo, "tell_story", tell)
    assert demo.run(once=True) == 1
    assert cleaned
