"""Programs are started, watched and ended; here they are small Python programs."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from shim.demo import DemoError
from shim.demo.processes import Process, Service, own_variables

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def start(tmp_path, code, **options):
    return Process.start([sys.executable, "-c", code], log=tmp_path / "logs" / "log", **options)


def wait_for(condition, limit=20):
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("code", "status", "output"),
    [
        ("print('fine')", 0, "fine"),
        ("import sys; sys.exit('wrong')", 1, "wrong"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import sys; print(sys.stdin.read() == '')", 0, "True"),
        ("import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))", 0, "True"),
    ],
)
def test_a_program_runs_to_its_end(tmp_path, code, status, output):
    process = start(tmp_path, code)
    assert process.finish(20) == status
    assert process.tail() == output


def test_signals_that_python_ignores_are_not_handed_on(tmp_path):
    process = Process.start(["/bin/cat", "/proc/self/status"], log=tmp_path / "log")
    process.finish(20)
    ignored = int(process.log.read_text().split("SigIgn:")[1].split()[0], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_stop_asks_first(tmp_path):
    code = f"import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); {SLEEP}"
    with start(tmp_path, code) as process:
        wait_for(lambda: process.tail() == "up")
    assert process.status() == 7


def test_stop_kills_what_does_not_end(tmp_path):
    code = f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEP}"
    process = start(tmp_path, code)
    wait_for(lambda: process.tail() == "up")
    process.stop(grace=0.1)
    assert process.status() == -signal.SIGKILL
    process.stop()


def test_children_end_with_their_parent_however_it_ends(tmp_path):
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid)"
    process = start(tmp_path, code)
    assert process.finish(20) == 0
    child = int(next(line for line in process.tail().splitlines() if line.isdigit()))
    wait_for(lambda: not is_alive(child))


def test_a_program_that_hangs_is_stopped_and_told(tmp_path):
    process = start(tmp_path, SLEEP)
    with pytest.raises(DemoError, match="no end after"):
        process.finish(0.1)
    assert process.status() is not None


def test_programs_end_with_a_starter_that_is_killed(tmp_path):
    starter = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from shim.demo.processes import Process
        log = Path({str(tmp_path)!r}) / "log"
        print(Process.start([sys.executable, "-c", {SLEEP!r}], log=log).pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as popen:
        pid = int(popen.stdout.readline())
        wait_for(lambda: "up" in (tmp_path / "log").read_text())
        popen.kill()
    wait_for(lambda: not is_alive(pid))


def test_a_missing_program_is_a_failed_one(tmp_path):
    process = Process.start(["/no/such/program"], log=tmp_path / "log")
    assert process.finish(20) == 1
    assert "No such file" in process.tail()


def test_only_what_is_ours_is_handed_on(monkeypatch):
    for name in (
        "OS_AUTH_URL",
        "UWSGI_HTTP",
        "GUNICORN_CMD_ARGS",
        "GLANCE_SHIM_SPOOL__MAX_BODY",
        "https_proxy",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C")
    found = own_variables(OS_GLANCE_CONFIG_DIR="/etc")
    assert found["LANG"] == "C"
    assert found["OS_GLANCE_CONFIG_DIR"] == "/etc"
    assert not {
        "OS_AUTH_URL",
        "UWSGI_HTTP",
        "GUNICORN_CMD_ARGS",
        "GLANCE_SHIM_SPOOL__MAX_BODY",
        "https_proxy",
    } & {*found}


def test_a_service_runs_until_its_block_ends(tmp_path):
    with Service(start(tmp_path, SLEEP)) as service:
        assert service.is_running
        os.kill(service.pid, 0)
    assert not service.is_running
