"""``bench`` through a shim at a real Glance: its hash is the one of what was sent, and nothing stays."""

import json
import subprocess
import sys

import httpx
import pytest

from shim.demo.processes import own_variables
from tests.integration.programs import TOKEN
from tests.integration.running import run_shim
from tests.support.shim import ROOT

pytestmark = pytest.mark.servers


def test_uploads_in_chunks_and_without(hostings, straight, tmp_path):
    with run_shim(tmp_path, hostings["uwsgi-unix"]) as shim:
        url = f"http://127.0.0.1:{shim.port}"
        command = [sys.executable, "-m", "shim", "bench", url, "--size", "1MiB", "--chunk", "1MiB"]
        ended = subprocess.run(
            [*command, "--chunk", "length", "--count", "1", "--json", tmp_path / "run.json"],
            env=own_variables(PYTHONPATH=str(ROOT), OS_TOKEN=TOKEN),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads((tmp_path / "run.json").read_text())
    assert [len(case["targets"][0]["rounds"]) for case in told["cases"]] == [1, 1]
    tag = f"glance-shim-bench-{told['run']}"
    answer = httpx.get(
        f"{straight}/v2/images",
        params={"tag": tag},
        headers={"X-Auth-Token": TOKEN, "Connection": "close"},
        trust_env=False,
        timeout=30,
    )
    assert answer.json()["images"] == []
