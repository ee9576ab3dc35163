"""What a uWSGI's settings mean: each trap is told with the line to write, and the shipped file has none."""

from dataclasses import replace

import pytest

from shim.app.groups import UpstreamSpec
from shim.doctor import behind
from shim.doctor.behind import inspect_uwsgi, judge_setup, judge_statistics
from shim.doctor.uwsgi import Setup, Statistics
from shim.findings import Level
from shim.upstream.address import parse_upstream
from shim.upstream.sizing import Sizing
from shim.upstream.stats import parse_stats
from tests.fakes.loaded import loaded
from tests.fakes.loops import run
from tests.support.series import series

GOOD = {
    "harakiri": "3600",
    "worker-reload-mercy": "3600",
    "socket-timeout": "90",
    "buffer-size": "65535",
    "enable-threads": "true",
    "die-on-term": "true",
    "hook-master-start": "unix_signal:15 gracefully_kill_them_all",
}
OURS = loaded("spool.max_body=175GiB")


def judge(configuration=OURS, **changes: str | None) -> list[tuple[Level, str, str]]:
    """The findings of the good settings with these changes; None removes one."""
    options = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    setup = Setup({name: value for name, value in options.items() if value is not None}, "glance.ini")
    return [(one.level, one.text, one.advice) for one in judge_setup(configuration, setup)]


def test_good_settings_are_fine():
    assert judge() == [(Level.FINE, "uWSGI's settings fit (glance.ini)", "")]
    assert judge(harakiri=None)[0][0] is Level.FINE, "none is no fault: nothing kills an upload"


@series(
    ("changes", "level", "text", "advice"),
    [
        ({"harakiri": "60"}, Level.WARNING, "over 2.93 GiB", "harakiri = 3600 in uWSGI's ini"),
        (
            {"socket_timeout": None},
            Level.WARNING,
            "socket-timeout = 4 ",
            "socket-timeout = 120 in uWSGI's ini",
        ),
        (
            {"socket_timeout": "30"},
            Level.WARNING,
            "socket-timeout = 30 ",
            "socket-timeout = 120 in uWSGI's ini",
        ),
        ({"buffer_size": None}, Level.WARNING, "buffer-size = 4096", "buffer-size = 65535 in uWSGI's ini"),
        (
            {"worker_reload_mercy": None},
            Level.NOTE,
            "over 2.93 GiB",
            "worker-reload-mercy = 3600 in uWSGI's ini",
        ),
        ({"hook_master_start": None}, Level.WARNING, "die-on-term without", "hook-master-start = "),
        ({"enable_threads": None}, Level.WARNING, "imports", "enable-threads = true"),
    ],
)
def test_each_trap(changes, level, text, advice):
    found = judge(**changes)
    assert [(one[0], text in one[1], advice in one[2]) for one in found] == [(level, True, True)]


def test_what_does_not_concern_the_shim():
    assert judge(loaded("spool.max_body=175GiB", "body=spool"), socket_timeout=None)[0][0] is Level.FINE
    assert judge(loaded("spool.max_body=175GiB", "service=none"), enable_threads=None)[0][0] is Level.FINE
    assert judge(threads="2", enable_threads=None)[0][0] is Level.FINE, "threads switch them on"


def test_what_is_not_visible_is_said():
    found = judge_setup(OURS, Setup({}, why="it is far away"))
    assert [(one.level, "not visible: it is far away" in one.text) for one in found] == [(Level.NOTE, True)]


def test_the_counters():
    assert list(judge_statistics(Statistics(1, 0, 0))) == []
    levels = [finding.level for finding in judge_statistics(Statistics(1, 2, 3))]
    assert levels == [Level.WARNING, Level.NOTE]


@pytest.mark.parametrize(
    ("stats", "looked_at"),
    [("127.0.0.1:1", 7), ("[::1]:1", 7), ("localhost:1", 7), ("/run/stats.sock", 7), ("10.0.0.9:1", None)],
)
def test_only_a_pid_of_this_machine_is_looked_at(monkeypatch, stats, looked_at):
    """The stats server of another machine tells a number that is some other process here."""

    async def told(_address):
        return b'{"pid": 7, "workers": []}'

    seen = []
    monkeypatch.setattr(behind, "read_statistics", told)
    monkeypatch.setattr(behind, "read_setup", lambda pid: seen.append(pid) or Setup(GOOD))
    group = UpstreamSpec("x", (parse_upstream("http://10.0.0.9:1"),), sizing=Sizing(stats=parse_stats(stats)))
    found = run(inspect_uwsgi(OURS, group))
    assert seen == ([] if looked_at is None else [looked_at])
    assert [finding.level for finding in found] == [Level.NOTE if looked_at is None else Level.FINE]


@pytest.mark.parametrize(("url", "told"), [("http://127.0.0.1:1", 0), ("uwsgi://127.0.0.1:1", 1)])
def test_only_a_uwsgi_is_looked_at(url, told):
    group = UpstreamSpec("default", (parse_upstream(url),))
    found = run(inspect_uwsgi(OURS, replace(group, name="x")))
    assert [finding.level for finding in found] == [Level.NOTE] * told
