"""What counts as a difference between two runs, and what the page and the results' lines make of it.

Without servers: the runs here are made up.
"""

import json
import struct
from datetime import date

import pytest

from tests.tempest.cases import Case, Outcome
from tests.tempest.comparison import MISSING, compare
from tests.tempest.downloads import make_qcow2
from tests.tempest.report import Circumstances, find_differences, render
from tests.tempest.runner import Run, Verdict, read_verdict

MEASURE = Case("gunicorn", behind_shim=False)
SHIM = Case("gunicorn", behind_shim=True)
OTHER = Case("uwsgi-http-socket", behind_shim=False, is_judged=False)
CIRCUMSTANCES = Circumstances(date(2026, 11, 24), {"tempest": "47"}, 90.0)


def run(**statuses: str) -> Run:
    return Run(
        {test: Verdict(status, 1.0, details=f"{test} said") for test, status in statuses.items()}, 10.0
    )


@pytest.mark.parametrize(
    ("without", "behind"),
    [
        ("success", "fail"),
        ("success", "skip"),
        ("fail", "success"),
        ("skip", "success"),
        ("skip", "fail"),
    ],
)
def test_another_status_is_a_difference(without: str, behind: str):
    (difference,) = compare(run(one=without, two="success"), run(one=behind, two="success"))
    assert (difference.test, difference.without, difference.behind) == ("one", without, behind)
    assert difference.is_harm is (without == "success")
    assert "one said" in difference.details


@pytest.mark.parametrize("status", ["success", "fail", "skip"])
def test_equal_runs_do_not_differ(status: str):
    assert compare(run(one=status), run(one=status)) == []


def test_a_test_that_only_one_run_has_is_a_difference():
    gone, new = compare(run(gone="success"), run(new="success"))
    assert (gone.without, gone.behind, gone.is_harm) == ("success", MISSING, True)
    assert (new.without, new.behind, new.is_harm) == (MISSING, "success", False)


def test_harm_comes_first():
    found = compare(run(a="fail", z="success"), run(a="success", z="fail"))
    assert [difference.test for difference in found] == ["z", "a"]


def test_only_judged_cases_count():
    outcomes = [Outcome(MEASURE, run(one="success")), Outcome(OTHER, run(one="fail"))]
    assert find_differences(outcomes) == []
    page = render(outcomes, CIRCUMSTANCES)
    assert "1 tests that pass on gunicorn do not:" in page
    assert "through the shim: none" in page


def test_the_page_names_differences_faults_and_what_was_skipped():
    without, behind = run(one="success", two="skip"), run(one="fail", two="skip")
    page = render(
        [Outcome(MEASURE, without), Outcome(SHIM, behind, 7, 2048, ("it complained",))], CIRCUMSTANCES
    )
    assert "| `one` | gunicorn | success | fail |" in page
    assert "| gunicorn | through the shim | 0 | 1 | 1 | 10 | 7 requests, 2 KiB of bodies |" in page
    assert "- gunicorn-shim: it complained" in page
    assert "| `two` |" in page
    assert "2026-11-24, 1.5 minutes. tempest 47." in page


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tempest.api.image.T.test_a[id-1,smoke]", "tempest.api.image.T.test_a"),
        ("setUpClass (tempest.api.image.T)", "setUpClass (tempest.api.image.T)"),
    ],
)
def test_a_verdict_is_read_from_its_line(given: str, expected: str):
    line = json.dumps({"id": given, "status": "skip", "seconds": 0.5, "reason": "why", "details": "much"})
    assert read_verdict(line) == (expected, Verdict("skip", 0.5, "why", "much"))


def test_the_qcow2_header_says_what_the_file_holds():
    image = make_qcow2(1 << 20)
    magic, version, _, _, cluster_bits, size = struct.unpack(">4sIQIIQ", image[:32])
    assert (magic, version, size) == (b"QFI\xfb", 3, 1 << 20)
    assert len(image) == 4 << cluster_bits
