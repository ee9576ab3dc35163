"""Timeouts that contradict each other, each with what to set; and those that do not."""

import pytest

from shim.doctor.timeouts import inspect_timeouts
from shim.findings import Level
from tests.fakes.loaded import loaded

CASES = [
    # 10 GiB take Glance 205 s.
    (("spool.max_body=10GiB", "timeouts.response=204s"), "timeouts.response (3.4 min) is shorter"),
    (("timeouts.response=10min",), "may take for an image of 100 GiB"),
    (("spool.max_body=175GiB",), "timeouts.drain (10 min) is shorter than an image of spool.max_body"),
    (("timeouts.drain=1min",), "timeouts.drain (60 s) is shorter"),
    (("timeouts.connect=20s",), "timeouts.connect_retry (10 s) is shorter than one attempt"),
    (("spool.max_body=10GiB", "timeouts.body_total=80s"), "timeouts.body_total (80 s) is shorter"),
    (("spool.max_body=1MiB", "timeouts.body_total=59s"), "timeouts.body_idle (60 s) never strikes"),
    (("spool.max_body=1GiB", "timeouts.body_total=601s"), "may take longer than a restart waits"),
    (("timeouts.linger=0",), "reads a reset"),
    (("timeouts.keepalive=60s",), "timeouts.keepalive (60 s) is not longer"),
    (("server.trusted_proxies=unix", "timeouts.body_idle=75s"), "the proxy in front gives up first"),
]
FINE = [
    (),
    ("spool.max_body=10GiB", "timeouts.response=205s", "timeouts.drain=205s"),
    ("spool.max_body=29GiB",),
    ("timeouts.connect_retry=0s",),
    ("timeouts.body_idle=75s",),
    ("server.trusted_proxies=unix",),
    ("timeouts.keepalive=61s",),
    ("spool.max_body=10GiB", "timeouts.body_total=86s"),
    ("spool.max_body=10GiB", "timeouts.body_total=10min"),
]


@pytest.mark.parametrize(("settings", "text"), CASES, ids=[" ".join(case) for case, _ in CASES])
def test_a_contradiction_is_told_with_what_to_set(settings, text):
    settings = tuple(_as_list(setting) for setting in settings)
    found = [finding for finding in inspect_timeouts(loaded(*settings)) if text in finding.text]
    assert [finding.level in (Level.NOTE, Level.WARNING) for finding in found] == [True]
    assert found[0].advice


@pytest.mark.parametrize("settings", FINE, ids=" ".join)
def test_what_fits_is_fine(settings):
    found = list(inspect_timeouts(loaded(*(_as_list(setting) for setting in settings))))
    assert [finding.level for finding in found] == [Level.FINE], found


def _as_list(setting: str) -> str:
    key, _, value = setting.partition("=")
    return f'{key}=["{value}"]' if key == "server.trusted_proxies" else setting
