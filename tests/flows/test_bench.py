"""``bench`` against a Glance in threads: what it sends and tells, and that nothing of it ever stays."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shim.cli import app
from shim.demo.processes import own_variables
from tests.fakes.glance import OWNER, Answer, FakeGlance, fake_glance
from tests.support.shim import ROOT

MIB = 1024**2
STRANGER = "11111111-2222-3333-4444-555555555555"
RUN = "0123456789ab"


def bench(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.stdout.split()), result.stderr


@pytest.fixture
def glance():
    with fake_glance() as glance:
        glance.add(STRANGER, name="glance-shim-bench-000000000000-00001", tags=["somebody's"])
        yield glance
        assert list(glance.images) == [STRANGER], "what others made stays, and nothing else"
        assert not [request for request in glance.requests if request.endswith(f"/{STRANGER}")]


def test_a_run_against_two(glance: FakeGlance, tmp_path: Path):
    with fake_glance() as other:
        status, output, errors = bench(
            *(f"{glance.url}/", "--against", other.url, "--token", "secret-token"),
            *("--size", "150KiB", "--chunk", "64KiB", "--chunk", "length", "--count", 2, "--concurrency", 2),
            *("--declare", "--json", tmp_path / "run.json", "--html", tmp_path / "run.html"),
        )
        assert status == 0, output + errors
        assert not other.images
    # A warm-up, then two rounds of two images in each framing.
    assert glance.framings[:5] == [(65536, 65536, 22528)] * 5
    assert glance.framings[5:] == [153600] * 4
    assert glance.declared == ["153600"] * 5 + [None] * 4
    for told in (glance.url, other.url, "150 KiB, chunks of 64 KiB", "150 KiB, length declared", "2) pairs"):
        assert told in output
    told = json.loads((tmp_path / "run.json").read_text())
    assert [case["chunk"] for case in told["cases"]] == [65536, None]
    for case in told["cases"]:
        assert [len(target["rounds"]) for target in case["targets"]] == [2, 2]
        assert len(case["ratios"]["upload"]["pairs"]) == len(case["ratios"]["download"]["pairs"]) == 2
    page = (tmp_path / "run.html").read_text()
    assert page.count("<svg") == 4
    for text in (page, output, errors, json.dumps(told)):
        assert "secret-token" not in text


def test_slow_clients_and_small_requests(glance: FakeGlance):
    status, output, errors = bench(
        *(glance.url, "--size", "1MiB", "--count", 1, "--slow", 2, "--slow-rate", "64KiB/s", "--askers", 2)
    )
    assert status == 0, output + errors
    slow = [framing for framing in glance.framings if isinstance(framing, tuple) and set(framing) == {4096}]
    assert len(slow) == 2
    assert glance.requests.count("GET /v2/images?limit=1") >= 2
    assert "small requests p50" in output


def test_data_that_arrives_changed(glance: FakeGlance):
    glance.corrupt = True
    status, output, _ = bench(glance.url, "--size", "100KiB")
    assert status == 1
    assert "other data: its sha512 differs" in output


def test_data_that_comes_back_changed(glance: FakeGlance):
    glance.corrupt_download = True
    status, output, _ = bench(glance.url, "--size", "100KiB", "--count", 3)
    assert status == 1
    assert "the download differs from what was sent, from byte 51200 on" in output
    assert glance.made == 2, "it ends at the first fault"


REFUSALS = [
    (401, "text/html", b"<h1>401 Unauthorized</h1> Please log in", ["expired", "OS_TOKEN", "Please log in"]),
    (403, "text/plain", b"Quota exceeded", ["over a quota", "Quota exceeded"]),
    (413, "application/problem+json", b'{"code": "body_too_large", "detail": "over 1 MiB"}',
     ["image_size_cap", "body_too_large: over 1 MiB"]),
    (503, "text/plain", b"\x1b[2Jspool_full", ["busy or full", "[2Jspool_full"]),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "body", "words"), REFUSALS)
def test_refused_uploads(glance: FakeGlance, status: int, kind: str, body: bytes, words: list[str]):
    glance.refuse = lambda method, _path: (status, kind, body) if method == "PUT" else None
    ended, output, _ = bench(glance.url, "--size", "100KiB", "--count", 2, "--keep-going")
    assert ended == 1
    assert f"100 KiB, chunks of 1 MiB (warm-up, 1, 2): uploading: {status}" in output
    for word in words:
        assert word in output
    assert "\x1b" not in output
    assert glance.made == 3


def test_an_id_that_is_taken_is_somebody_else_s(glance: FakeGlance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shim.bench.service.uuid.uuid4", lambda: STRANGER)
    status, output, _ = bench(glance.url, "--size", "100KiB")
    assert status == 1
    assert "somebody else's, and stays" in output


def test_images_that_cannot_be_deleted_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shim.bench.keeper.PAUSE", 0.0)
    with fake_glance(
        refuse=lambda method, _path: (409, "text/plain", b"") if method == "DELETE" else None
    ) as glance:
        status, _, errors = bench(glance.url, "--size", "100KiB", "--count", 3, "--keep-going")
        assert status == 1
        assert len(glance.images) == 1, "nothing more is begun"
        for image in glance.images:
            assert f"{image} stays: deleting what was made: 409 Conflict" in errors
        assert f"Try again with: glance-shim bench {glance.url} --cleanup " in errors


@pytest.mark.more
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_in_the_middle_of_an_upload(glance: FakeGlance, number: int, tmp_path: Path):
    glance.hold = True
    command = [
        sys.executable,
        "-m",
        "shim",
        "bench",
        glance.url,
        "--size",
        "64MiB",
        "--json",
        tmp_path / "r.json",
    ]
    process = subprocess.Popen(
        command,
        env=own_variables(PYTHONPATH=str(ROOT)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert glance.holding.wait(30)
        assert len(glance.images) == 2
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output + errors
    assert "what was made is being deleted" in errors
    assert "Traceback" not in errors
    assert "Ended early" in output
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"] is True


def test_an_image_that_glance_takes_for_deleted_is_as_good_as_gone():
    """A deletion of two steps that failed at the second: the data is gone, and it is refused ever after."""

    def half(method: str, path: str) -> Answer | None:
        if method != "DELETE":
            return None
        glance.images[path.rpartition("/")[2]]["status"] = "deleted"
        return 400, "text/plain", b"Image status transition from deleted to deleted is not allowed"

    with fake_glance(refuse=half) as glance:
        status, output, errors = bench(glance.url, "--size", "100KiB", "--count", 1)
        assert status == 0, output + errors


def test_nobody_there():
    status, output, errors = bench("http://127.0.0.1:1", "--count", 1)
    assert status == 1
    assert "making an image: no connection: Connection refused" in output
    assert "not deleted" not in errors


def test_the_leftovers_of_a_killed_run(glance: FakeGlance):
    tag = f"glance-shim-bench-{RUN}"
    for number in range(5):
        glance.add(f"left-{number}", name=f"{tag}-{number:05d}", tags=[tag])
    others = {
        "of another project": {"owner": "another", "name": f"{tag}-00001", "tags": [tag]},
        "shared": {"visibility": "public", "name": f"{tag}-00001", "tags": [tag]},
        "named otherwise": {"name": "golden image", "tags": [tag]},
        "named almost so": {"name": f"{tag}-00001-copy", "tags": [tag]},
        "not tagged": {"name": f"{tag}-00001"},
    }
    for key, fields in others.items():
        glance.add(key, **fields)
    status, output, errors = bench(glance.url, "--cleanup", RUN)
    assert status == 0, errors
    assert f"run {RUN}: 5 deleted, 0 left" in output
    assert glance.images.keys() == {STRANGER, *others}
    assert all(image["owner"] == OWNER or key in others for key, image in glance.images.items())
    for key in others:
        del glance.images[key]


def test_a_service_that_is_not_glance():
    """Without a name in its path nothing is got back, and nothing deleted."""
    with fake_glance(refuse=lambda _method, _path: (201, "text/plain", b"")) as service:
        status, output, errors = bench(service.url, "--plain", "/upload", "--size", "100KiB", "--count", 2)
        assert status == 0, output + errors
    assert set(service.requests) == {"PUT /upload"}
    assert "downloads" not in output


def test_a_service_with_names():
    with fake_glance() as service:
        arguments = ("--plain", "/plain/{name}", "--size", "100KiB", "--count", 2, "--concurrency", 3)
        status, output, errors = bench(service.url, *arguments)
        assert status == 0, output + errors
        assert not service.data
    puts = [request for request in service.requests if request.startswith("PUT /plain/glance-shim-bench-")]
    assert len(set(puts)) == 7
    assert "downloads" in output
