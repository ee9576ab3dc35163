"""What comes out: the client's words in, command lines, tables, the document, the profile's rows."""

import io
from pathlib import Path

import pytest

from benchmarks import profile, report, table
from benchmarks.__main__ import choose, read_options, with_size
from benchmarks.engine import Inexact
from benchmarks.engine.contest import Outcome
from benchmarks.engine.verdict import judge
from benchmarks.load.client import Place, approve, arguments, read_report
from benchmarks.peers.starting import complaint, fill, in_a_line
from benchmarks.progress import Progress
from benchmarks.results import as_result, filesystem
from benchmarks.scenario import Load, load_all, parse_scenario
from tests.support.series import series

TOLD = {
    "ok": 2,
    "bad": 0,
    "inexact": 0,
    "te": 0,
    "pf": 0,
    "wall": 1.5,
    "p50": 0.1,
    "p99": 0.2,
    "hold": 0.3,
    "error": "",
}
UPLOAD = Load("up", size=10, connections=2)

# -- the client -------------------------------------------------------------------------------------------


def test_arguments_of_a_checked_upload_over_tls():
    words = arguments(Load("up", size=4096, chunk=512, rate=100), Place(80, tls=True), check=True)
    text = " ".join(words)
    for part in ("-p 80", "-m up", "-u /v2/images/x/file?sum", "-s 4096", "-k 512", "-r 100", "-T", "-x"):
        assert part in text


def test_slow_uploads_are_not_stamped():
    assert "-x" not in arguments(Load("trickle", size=10, rate=1), Place(80), check=True)


def test_a_report_without_fault_is_approved():
    assert approve(UPLOAD, read_report(TOLD)).values() == {"time": 1.5, "p50": 0.1, "p99": 0.2, "hold": 0.3}


@series("change", [{"bad": 1}, {"inexact": 1}, {"te": 1}, {"ok": 1}])
def test_other_work_than_asked_is_inexact(change):
    with pytest.raises(Inexact):
        approve(UPLOAD, read_report({**TOLD, **change}))


def test_questions_without_end_need_one_answer():
    endless = Load("get", requests=0)
    assert approve(endless, read_report(TOLD))
    with pytest.raises(Inexact):
        approve(endless, read_report({**TOLD, "ok": 0}))


# -- choosing ---------------------------------------------------------------------------------------------


def test_choose_by_parts_of_names():
    options = read_options(["--scenarios", "chunks,tls"])
    names = [scenario.name for scenario in choose(load_all(), options)]
    assert names == ["chunks-64k", "chunks-1m", "chunks-4k", "tls"]


@pytest.mark.parametrize("words", [["--scenarios", "nonsense"], ["--peers", "squid"]])
def test_unknown_names_are_faults(words):
    with pytest.raises(ValueError, match="--list names them"):
        choose(load_all(), read_options(words))


@series(
    ("words", "is_whole"),
    [
        ([], True),
        (["--scenarios", "get"], True),
        (["--repetitions", "9"], True),
        (["--repetitions", "3"], False),
        (["--quick"], False),
        (["--size", "1MiB"], False),
        (["--peers", "shim"], False),
        (["--no-write"], False),
    ],
)
def test_only_whole_runs_are_written(words, is_whole):
    assert read_options(words).is_whole is is_whole


def test_size_only_makes_smaller():
    scenario = next(s for s in load_all() if s.name == "small-puts")
    assert with_size(scenario, 1024**2).load.size == 65536
    assert with_size(scenario, 1024).load.size == 1024


# -- starting ---------------------------------------------------------------------------------------------


def test_templates_are_filled_and_the_rest_left_alone():
    assert fill("listen @port@; $host @other@", {"port": 80}) == "listen 80; $host @other@"


def test_a_refused_configuration_is_told_without_paths():
    how = "glance-shim serve ended with status 2; the last lines of /tmp/x/shim.log:"
    fault = f"{how}\nbody: 'handoff': must be 'auto'"
    assert complaint(fault, Path("/tmp/x")) == (
        "the shim refuses its configuration: body: 'handoff': must be 'auto'"
    )
    assert "/tmp/x" not in in_a_line("see /tmp/x/log or /tmp/x", Path("/tmp/x"))


def test_filesystem_is_that_of_the_longest_mount_point(tmp_path):
    here = tmp_path.resolve()
    lines = ["1 0 8:1 / / rw - ext4 /dev/a rw", f"2 1 8:2 / {here} rw shared:1 - xfs /dev/b rw"]
    assert filesystem(here / "deep", "\n".join(lines)) == "xfs"
    assert filesystem(Path("/"), "\n".join(lines)) == "ext4"


# -- tables -----------------------------------------------------------------------------------------------


@pytest.fixture
def scenarios():
    scenario = parse_scenario(
        "x",
        {
            "title": "An upload",
            "means": "much",
            "participants": ["shim", "nginx-tuned", "haproxy"],
            "targets": [
                {"metric": "cpu", "of": "shim", "against": "nginx-tuned", "at_most": 0.9},
                {"metric": "memory", "of": "shim", "at_most": "60MiB"},
                {"metric": "cpu", "of": "haproxy", "against": "shim"},
            ],
        },
    )
    shim = [{"cpu": 0.8, "memory": 50.0 * 1024**2}, {"cpu": 1.0, "memory": 70.0 * 1024**2}, None]
    outcome = Outcome(samples={"shim": shim, "nginx-tuned": [{"cpu": 1.0}, {"cpu": 1.0}, None]})
    absent = {"haproxy": "not installed"}
    rows = judge(scenario.targets, outcome, None, absent)
    place = {
        "day": "2026-01-01",
        "cores": 2,
        "processor": "x",
        "kernel": "6",
        "filesystem": "ext4",
        "versions": {"nginx": "1"},
    }
    return {"x": as_result(scenario, outcome, rows, absent, ["smaller"]) | {"circumstances": place}}


def test_table(scenarios):
    made = table.lines(scenarios, titles=False)
    assert made[0] == ("x", "CPU, shim / nginx-tuned", "0.90", "0.80..1.00", "-", "≤ 0.90", "met")
    assert made[1][1:] == ("memory, peak, shim", "60.0 MiB", "50.0 MiB..70.0 MiB", "-", "≤ 60.0 MiB", "met")
    assert made[2][-1] == "not measured"
    assert table.summary(scenarios) == "2 targets: 2 met"


def test_what_is_missed_is_told_in_words(scenarios):
    assert table.missed(scenarios) == []
    scenarios["x"]["rows"][0]["verdict"] = "missed"
    assert table.missed(scenarios) == ["An upload: CPU, shim / nginx-tuned is 0.90, to be ≤ 0.90"]


def test_text_table_is_in_line(scenarios):
    text = table.as_text(table.lines(scenarios, titles=False))
    assert len({line.find("≤") for line in text.splitlines() if "≤" in line}) == 1


def test_document_has_all_there_is_to_know(scenarios):
    text = report.render({"scenarios": scenarios})
    for part in (
        "2 targets: 2 met",
        "An upload",
        "2 cores",
        "haproxy was not measured: not installed",
        "Note: smaller",
        "| shim | 0.900 | 60 |",
    ):
        assert part in text


def test_put_between_keeps_what_a_person_wrote():
    text = f"before\n<!-- {report.NAME}: begin -->\nold\n<!-- {report.NAME}: end -->\nafter\n"
    assert report.put_between(text, "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="no place"):
        report.put_between("nothing", "new")


def test_the_document_has_a_place_for_results():
    assert report.put_between(report.DOCUMENT.read_text(), "x")


# -- the profile ------------------------------------------------------------------------------------------


def test_perf_report_by_group():
    told = """\
# Overhead  Shared Object  Symbol
    40.00%  [kernel.kallsyms]  [k] copy_page_from_iter
    10.00%  [kernel.kallsyms]  [k] copy_page_from_iter
    30.00%  python3.11  [.] _PyEval_EvalFrameDefault
    20.00%  loop.cpython-311-x86_64-linux-gnu.so  [.] uv__read
"""
    shares = profile.read_report(told)
    assert shares["kernel", "copy_page_from_iter"] == 50.0
    rows = profile.group_rows(
        {"shim": shares, "c-limit": {("kernel", "write"): 100.0}},
        {"shim": {"cpu": 2.0}, "c-limit": {"cpu": 0.9}},
    )
    assert rows[1:] == [
        ["kernel", "1.000", "0.900", "+0.100"],
        ["Python", "0.600", "0.000", "+0.600"],
        ["uvloop", "0.400", "0.000", "+0.400"],
    ]


# -- the progress line ------------------------------------------------------------------------------------


def test_in_a_log_a_line_comes_now_and_then():
    now = [0.0]
    output = io.StringIO()
    progress = Progress(2, output, lambda: now[0])
    progress.begin("first")
    for second in range(60):
        now[0] = float(second)
        progress.tell(f"step {second}")
    lines = output.getvalue().splitlines()
    assert lines[0] == "[1/2 0:00] first: starting"
    assert len(lines) == 3
