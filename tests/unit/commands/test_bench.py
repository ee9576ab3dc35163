"""``glance-shim bench``: what is refused before anything is sent, and what is told afterwards."""

import datetime as dt
import html.parser
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shim.bench.plan import WARMING_UP, Case, Round
from shim.bench.results import Failure, Results, Sample, as_values
from shim.cli import app
from shim.commands.bench_options import Request, read_order
from shim.commands.bench_page import render_page
from shim.commands.bench_plots import Row, curves, dots, ratios
from shim.commands.bench_terminal import failure_lines, print_results
from shim.commands.reading import Unusable
from tests.support.series import series
from tests.unit.bench.test_plan import PLAN

URL = "http://glance:9292"


@series(("arguments", "reason"), [
    (["glance:9292"], "is a URL"),
    ([URL, "--against", "uwsgi://h:1"], "they speak HTTP"),
    ([URL, "--size", "10"], "--size 10: an image has at least 64 bytes"),
    ([URL, "--size", "big"], "--size 'big': not a size"),
    ([URL, "--chunk", "0"], "a chunk has 1B to 64MiB"),
    ([URL, "--chunk", "65MiB"], "a chunk has 1B to 64MiB"),
    ([URL, "--slow-rate", "0"], "--slow-rate: must be more than 0"),
    ([URL, "--token", "a", "--token-file", "b"], "one of --token and --token-file"),
    ([URL, "--token", "a\r\nX-Evil: 1"], "characters that no token has"),
    ([URL, "--token-file", "/nowhere/at/all"], "--token-file /nowhere/at/all: No such file"),
    ([URL, "--cacert", "/nowhere/at/all"], "--cacert /nowhere/at/all: No such file"),
    ([URL, "--cleanup", "glance-shim-bench-0123456789ab"], "twelve digits"),
    ([URL, "--cleanup", "0123456789ab", "--against", URL], "--cleanup goes with one URL"),
    ([URL, "--plain", "upload"], "a path begins with a slash"),
    ([URL, "--plain", "/upload", "--concurrency", "2"], "several bodies at once need names"),
])  # fmt: skip
def test_what_means_nothing_is_refused(arguments, reason):
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.parametrize(("given", "environment", "token"), [
    ({}, {}, None),
    ({}, {"OS_TOKEN": "of-the-environment"}, "of-the-environment"),
    ({"token": "given"}, {"OS_TOKEN": "of-the-environment"}, "given"),
    ({"token_file": Path("token")}, {"OS_TOKEN": "of-the-environment"}, "of-the-file"),
    # What is no part of OpenStack does not get its token.
    ({"plain": "/x"}, {"OS_TOKEN": "of-the-environment"}, None),
    ({"plain": "/x", "token": "given"}, {}, "given"),
])  # fmt: skip
def test_where_the_token_comes_from(given, environment, token, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("of-the-file\n")
    assert read_order(Request(URL, **given), environment).headers.get("X-Auth-Token") == token


def test_sizes_and_framings_are_each_measured_once():
    order = read_order(Request(URL, size=["1MiB", "1024KiB"], chunk=["length", "64KiB", "length"]), {})
    assert (order.plan.sizes, order.plan.chunks) == ((1 << 20,), (None, 65536))
    with pytest.raises(Unusable):
        read_order(Request(URL, cleanup="x"), {})


# -- what is told ----------------------------------------------------------------------------------------

HOSTILE = '<script>alert("1")</script>&[red]x[/red]'
CASE = Case(1 << 20, None)


def results(**changes) -> Results:
    """Two rounds at each of two targets: the first twice as fast as the second."""
    plan = replace(PLAN, sizes=(CASE.size,), chunks=(CASE.chunk,), concurrency=1)
    known = Results(plan, [URL, HOSTILE], dt.datetime(2026, 1, 2, tzinfo=dt.UTC), **changes)
    for turn in plan.rounds(2):
        seconds = (1.0 + turn.repetition) * (1 + turn.target)
        known.samples[turn] = Sample(seconds, (seconds,), (seconds / 10,), seconds / 2, (0.01, 0.02))
    return known


def failing() -> Results:
    known = results(left={"image-1": "why"}, interrupted=True)
    for repetition in (WARMING_UP, 0, 1):
        known.failures.append(Failure(Round(CASE, repetition, 1), "refused", HOSTILE))
    return known


def test_for_programs():
    told = json.loads(json.dumps(as_values(failing())))
    (case,) = told["cases"]
    assert case["ratios"]["upload"] == {
        "pairs": [0.5, 0.5],
        "spread": {"median": 0.5, "low": 0.5, "high": 0.5, "count": 2},
    }
    assert [target["upload_rate"]["median"] for target in case["targets"]] == [786432.0, 393216.0]
    assert case["targets"][0]["small_requests"]["count"] == 4
    assert (told["interrupted"], told["left"], len(told["failures"])) == (True, {"image-1": "why"}, 3)


def test_a_pair_needs_both():
    known = results()
    del known.samples[Round(CASE, 0, 1)]
    assert known.ratios(CASE, lambda _results, _case, sample: sample.upload) == [0.5]


def test_for_people(capsys):
    print_results(failing())
    told = " ".join(capsys.readouterr().out.split())
    for words in (
        "1 MiB, length declared",
        "uploads 768 KiB/s (512 KiB to 1 MiB)",
        "after the last byte 150 ms (100 ms to 200 ms)",
        "p50 10 ms, p90 20 ms, worst 20 ms of 4",
        "uploads 0.50 (0.50 to 0.50, 2) pairs",
        "Ended early",
    ):
        assert words in told
    assert failure_lines(failing()) == [f"{HOSTILE}, 1 MiB, length declared (warm-up, 1, 2): {HOSTILE}"]


class Elements(html.parser.HTMLParser):
    """The elements of a page, and whatever an attribute refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.references: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.references += [value for name, value in attributes if name in {"src", "href", "data", "style"}]


@pytest.mark.parametrize("known", [results(), failing(), Results(PLAN, [URL], dt.datetime.now(dt.UTC))])
def test_the_page_stands_alone_and_runs_nothing(known):
    page = render_page(known)
    elements = Elements(page)
    assert not elements.names & {"script", "link", "img", "iframe", "object"}
    assert not elements.references
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    # A browser forgives; as XML each picture has to be well-formed.
    for picture in page.split("<svg")[1:]:
        ET.fromstring("<svg" + picture.partition("</svg>")[0] + "</svg>")


@series("values", [[], [0.0], [1.0], [1e-9, 1e12], [3.0] * 1000])
def test_plots_of_anything_stay_in_the_picture(values):
    rows = [Row("label", 1, values, "told")]
    for picture in (dots("t", rows, str), ratios("t", rows), curves("t", rows, str)):
        root = ET.fromstring(picture)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for element in root.iter():
            for name, most in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height)):
                assert 0 <= float(element.get(name, 0)) <= most
