"""The engine's pure parts: order, pairs, verdicts, the contest over fakes, /proc from made files."""

import itertools

import pytest

from benchmarks.engine import Inexact
from benchmarks.engine.contest import Contest, Outcome
from benchmarks.engine.settling import settle, unwritten_kib
from benchmarks.engine.tree import Cpu, cpu_at_rest, family, read_stats, tree_cpu, tree_high_water, tree_pss
from benchmarks.engine.verdict import Target, Verdict, judge
from benchmarks.engine.watch import PssWatch

# -- verdicts ---------------------------------------------------------------------------------------------


def outcome_of(**values):
    return Outcome(samples={name: [{"cpu": value} for value in taken] for name, taken in values.items()})


@pytest.mark.parametrize(
    ("ours", "at_most", "verdict"),
    [
        ([0.8, 0.9, 5.0], 0.9, Verdict.MET),
        ([0.8, 0.91, 0.95], 0.9, Verdict.MISSED),
        ([0.8], None, Verdict.INFORMATION),
    ],
)
def test_the_median_is_held_against_the_target(ours, at_most, verdict):
    outcome = outcome_of(ours=ours, theirs=[1.0] * len(ours))
    [row] = judge([Target("cpu", "ours", "theirs", at_most)], outcome, None, {})
    assert row.verdict is verdict


def test_a_bound_without_anybody_to_divide_by():
    outcome = outcome_of(ours=[40.0])
    rows = judge([Target("cpu", "ours", None, 60.0), Target("cpu", "ours", None, 30.0)], outcome, None, {})
    assert [row.verdict for row in rows] == [Verdict.MET, Verdict.MISSED]


def test_void_and_absent_make_no_figure():
    outcome = outcome_of(ours=[1.0], theirs=[1.0])
    outcome.void["theirs"] = "a byte lost"
    targets = [Target("cpu", "ours", "theirs", 9.0), Target("cpu", "gone", "ours", 9.0)]
    first, second = judge(targets, outcome, None, {"gone": "not installed"})
    assert (first.verdict, first.spread, first.reason) == (Verdict.VOID, None, "theirs: a byte lost")
    assert (second.verdict, second.spread) == (Verdict.NOT_MEASURED, None)
    assert second.reason == "gone: not installed"


def test_noise_is_that_of_the_twins():
    outcome = outcome_of(ours=[1.0, 1.0], one=[1.0, 2.0], again=[1.1, 1.8])
    [row] = judge([Target("cpu", "ours", "one", 1.0)], outcome, ("one", "again"), {})
    assert (row.noise.low, row.noise.high) == pytest.approx((0.9, 1.1))


# -- the contest ------------------------------------------------------------------------------------------


class Fake:
    """A participant that counts; it fails where it is told to."""

    def __init__(self, name, log, *, fails_to_prove=False, fails_at=None):
        self.name = name
        self._log = log
        self._fails_to_prove = fails_to_prove
        self._fails_at = fails_at
        self._measured = 0

    def prove(self):
        self._log.append(f"prove {self.name}")
        if self._fails_to_prove:
            raise Inexact("hash differs")

    def measure(self):
        self._log.append(self.name)
        self._measured += 1
        if self._measured == self._fails_at:
            raise Inexact("status 502")
        return {"cpu": float(self._measured)}


def test_all_prove_themselves_before_anybody_is_measured():
    log = []
    Contest([Fake("a", log), Fake("b", log)], 3, lambda: True, lambda _: None).run()
    assert log == ["prove a", "prove b", "a", "b", "b", "a", "b", "a"]


def test_who_fails_to_prove_is_never_measured():
    log = []
    contest = Contest([Fake("a", log, fails_to_prove=True), Fake("b", log)], 2, lambda: True, lambda _: None)
    outcome = contest.run()
    assert outcome.void == {"a": "hash differs"}
    assert outcome.values("a", "cpu") == []
    assert outcome.values("b", "cpu") == [1.0, 2.0]
    assert "a" not in log


def test_one_failure_makes_all_of_it_void():
    log = []
    outcome = Contest([Fake("a", log, fails_at=2)], 4, lambda: True, lambda _: None).run()
    assert outcome.void == {"a": "status 502"}
    assert outcome.values("a", "cpu") == []
    assert log.count("a") == 2


def test_runs_before_which_nothing_settled_are_counted():
    settled = itertools.cycle([True, False])
    outcome = Contest([Fake("a", [])], 3, lambda: next(settled), lambda _: None).run()
    assert outcome.unsettled == 2


# -- the page cache ---------------------------------------------------------------------------------------


def meminfo(dirty, writeback):
    return f"MemTotal: 99 kB\nDirty:     {dirty} kB\nWriteback:   {writeback} kB\nWritebackTmp: 7777777 kB\n"


def test_unwritten_is_dirty_and_writeback_alone():
    assert unwritten_kib(meminfo(10, 5)) == 15


def test_settle_waits_until_little_is_left():
    told = iter([meminfo(90_000, 0), meminfo(10_000, 30_000), meminfo(900, 0)])
    pauses = []
    assert settle(lambda: next(told), pauses.append, flush=lambda: None)
    assert len(pauses) == 2


def test_settle_gives_up():
    pauses = []
    assert not settle(lambda: meminfo(90_000, 0), pauses.append, limit=5.0, flush=lambda: None)
    assert sum(pauses) == pytest.approx(5.0)


# -- /proc ------------------------------------------------------------------------------------------------


def make_process(proc, pid, parent, *, times=(0, 0, 0, 0), pss=0, high_water=0, name="a (b) c"):
    folder = proc / str(pid)
    folder.mkdir()
    middle = "0 " * 9
    ticks = " ".join(map(str, times))
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {middle}{ticks} 20 0\n")
    (folder / "smaps_rollup").write_text(f"Rss: 999999 kB\nPss:   {pss} kB\nPss_Dirty: 1 kB\n")
    (folder / "status").write_text(f"Name:\tx\nVmPeak:\t99 kB\nVmHWM:\t {high_water} kB\n")


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "meminfo").write_text("")
    make_process(tmp_path, 1, 0, times=(9, 9, 9, 9), pss=50, high_water=50)
    make_process(tmp_path, 10, 1, times=(100, 20, 3, 4), pss=10, high_water=30)
    make_process(tmp_path, 11, 10, times=(200, 40, 0, 0), pss=20, high_water=40)
    make_process(tmp_path, 12, 11, times=(1, 2, 0, 0), pss=1, high_water=2, name="evil) R 1 1")
    make_process(tmp_path, 20, 1, times=(7, 7, 7, 7), pss=90, high_water=90)
    return tmp_path


def test_family_is_the_process_and_its_descendants(proc):
    stats = read_stats(proc)
    assert family(10, stats) == [10, 11, 12]
    assert family(99, stats) == []


def test_cpu_of_the_tree_has_own_and_ended_childrens_time(proc):
    cpu = tree_cpu(10, proc, ticks=100)
    assert cpu == Cpu(pytest.approx(3.04), pytest.approx(0.66))
    assert cpu.since(Cpu(1.0, 0.5)).total == pytest.approx(2.2)


def test_memory_of_the_tree(proc):
    assert tree_pss(10, proc) == 31 * 1024
    assert tree_high_water(10, proc) == 72 * 1024


def test_who_ends_in_between_is_left_out(proc):
    (proc / "12" / "smaps_rollup").unlink()
    (proc / "11" / "stat").unlink()
    assert tree_pss(10, proc) == 10 * 1024


def test_rest_is_when_the_time_no_longer_grows():
    told = iter([Cpu(0, 0), Cpu(0.2, 0), Cpu(0.4, 0.1), Cpu(0.4, 0.11)])
    assert cpu_at_rest(1, read=lambda _: next(told), sleep=lambda _: None) == Cpu(0.4, 0.11)


def test_rest_is_waited_for_only_so_long():
    told = (Cpu(float(second), 0) for second in itertools.count())
    pauses = []
    cpu_at_rest(1, limit=3.0, read=lambda _: next(told), sleep=pauses.append)
    assert sum(pauses) == pytest.approx(3.0)


def test_pss_watch_keeps_first_and_largest():
    told = itertools.chain([5, 9, 7], itertools.repeat(6))
    with PssWatch(1, pause=0.001, read=lambda _: next(told)) as watch:
        while watch.samples < 4:
            pass
    assert (watch.before, watch.peak) == (5, 9)
