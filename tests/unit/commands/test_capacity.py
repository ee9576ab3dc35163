"""``glance-shim capacity``: what it prints, what it refuses, and that the documentation shows its table."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shim.cli import app
from shim.commands.figures import seconds, size
from tests.support.series import series

DOCUMENT = Path(__file__).parents[3] / "docs" / "capacity.md"
ALIKE = [
    "--per-hour",
    "360",
    "--size",
    "1GiB",
    "--client",
    "10MiB/s",
    "--server",
    "64MiB/s",
    "--answer",
    "0s",
]


def capacity(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["capacity", *arguments])
    return result.exit_code, result.stdout, result.stderr


def plans(*arguments: str) -> dict[str, dict]:
    status, output, errors = capacity("--json", *arguments)
    assert status == 0, errors
    return {plan["way"]: plan for plan in json.loads(output)}


def test_for_programs():
    found = plans(*ALIKE)
    assert list(found) == ["straight", "whole", "cut_through"]
    # One every 10 s: 102.4 s to come in, 16 s to go out.
    assert found["straight"]["workers"]["busy"] == pytest.approx(10.24)
    assert found["whole"]["workers"]["busy"] == pytest.approx(1.6)
    assert found["whole"]["uploads"]["mean"] == pytest.approx(11.84, rel=0.02)
    # Three workers would leave two to uploads, and four of ten of these waiting.
    assert found["cut_through"]["workers"]["all"] == 7
    assert found["cut_through"]["each"]["max_total"] >= found["cut_through"]["leased_bytes"]["mean"]


def test_for_people(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shim.commands.capacity.SIMULATED", 500)
    status, output, _ = capacity(*ALIKE, "--simulate")
    assert status == 0
    assert "360 uploads an hour of 1 GiB on average make 102 MiB/s" in output
    for way in ("without the shim", "spooled whole", "cut through"):
        assert way in output
    for option in ("spool.max_total", "limits.max_uploads"):
        assert option in output
    assert "computed / simulated" in output


def test_at_once_is_little_s_law_backwards():
    found = plans("--at-once", "40", "--size", "1GiB*3", "--size", "2GiB")
    assert found["cut_through"]["uploads"]["mean"] == pytest.approx(40, rel=0.05)


def test_workers_that_are_there():
    found = plans(*ALIKE, "--workers", "4")
    # Ten would wait for their clients; the shim's four do not.
    assert "straight" not in found
    assert found["cut_through"]["workers"] == {"busy": pytest.approx(1.6), "uploads": 3, "all": 4}
    status, _, errors = capacity(*ALIKE, "--workers", "2")
    assert status == 1
    assert "uploads keep 1.6 workers busy, and may hold 1 of 2" in errors


@series(("arguments", "reason"), [
    ([], "give one of --per-hour and --at-once"),
    (["--per-hour", "1", "--at-once", "1"], "give one of --per-hour and --at-once"),
    (["--per-hour", "0"], "--per-hour: must be more than 0"),
    (["--at-once", "nan"], "--at-once: must be more than 0"),
    (["--per-hour", "1", "--client", "0"], "--client 0: must be more than 0"),
    (["--per-hour", "1", "--server", "fast"], "--server 'fast': not a rate"),
    (["--per-hour", "1", "--size", "2GiB*often"], "'often' is no weight"),
    (["--per-hour", "1", "--size", "2GiB*0"], "--size 2GiB*0: must be more than 0"),
    (["--per-hour", "1", "--median", "9GiB", "--upper", "8GiB"], "have to rise in this order"),
])  # fmt: skip
def test_what_means_nothing_is_refused(arguments: list[str], reason: str):
    status, _, errors = capacity(*arguments)
    assert status == 2
    assert reason in errors


@pytest.mark.parametrize("load", ["--at-once=1e300", "--per-hour=1e12"])
def test_a_load_beyond_any_cloud_ends_soon(load: str):
    status, _, errors = capacity(load)
    assert status == 1
    assert "over 1000000 workers" in errors


def test_the_documentation_shows_the_command_s_table():
    shown = re.search(
        r"<!-- glance-shim (.*): begin -->\n(.*)\n<!-- glance-shim \1: end -->",
        DOCUMENT.read_text(),
        re.DOTALL,
    )
    assert shown, "docs/capacity.md has lost its markers"
    status, output, _ = capacity(*shown[1].split()[1:])
    assert status == 0
    assert shown[2] == output.strip(), "docs/capacity.md lags behind: run make docs"


@series(
    ("amount", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "0.976 KiB"), (1 << 30, "1 GiB"), (1.5 * 2**50, "1.5 PiB")],
)
def test_sizes_for_the_eye(amount: float, text: str):
    assert size(amount) == text


@series(("amount", "text"), [(0, "0 ms"), (0.25, "250 ms"), (59, "59 s"), (90, "1.5 min"), (7200, "2 h")])
def test_times_for_the_eye(amount: float, text: str):
    assert seconds(amount) == text
