"""Several workers, and life from start to end (cases 11 and 12): real processes, killed, reloaded, replaced.

Everything is also run with one worker, which has a supervisor like any other number of them.
"""

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support import replies
from tests.support.client import chunk, chunked, get, head, put, put_chunked
from tests.support.shim import Shim, descriptors
from tests.support.wire import Hang, eventually

KIB, MIB = 1 << 10, 1 << 20
CODED = head("PUT", "/x", "Transfer-Encoding: chunked")
once = pytest.mark.parametrize("case", ["http-tcp-fast"])
NUMBERS = pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.more), 3])


def workers_of(shim):
    """The ids of its worker processes."""
    return [int(pid) for pid in Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split()]


def spool_files_of(shim, pid):
    """How many files of the spool a process has open."""
    return sum(link.startswith(f"{shim.spool}/") for link in descriptors(pid))


def write_again(shim, **changes):
    """Change its configuration file, as an operator would."""
    shim.settings = {**shim.settings, **{name.replace("__", "."): value for name, value in changes.items()}}
    shim.file.write_text(shim._configuration())


def told(shim, text, times=1):
    """Wait until the log has said something so often."""
    try:
        eventually(lambda: shim.log_text().count(text) >= times, f"the log says {text!r}")
    except Hang as hang:
        said = [line for line in shim.log_text().splitlines() if '"shim.access"' not in line]
        raise AssertionError("\n".join([str(hang), *said[-20:]])) from None


# -- limits across workers --------------------------------------------------------------------------------


@once
@NUMBERS
def test_a_killed_worker_leaves_nothing_behind(rig_with, workers):
    settings = {"server.workers": workers, "spool.memory_limit": "16KiB", "spool.max_total": "8MiB"}
    rig = rig_with({**settings, "spool.max_body": "8MiB"}, fresh=True)
    clients = [rig.client() for _ in range(50)]
    for client in clients:
        client.send(CODED, chunk(bytes(64 * KIB)))
    eventually(lambda: rig.shim.metric("spool_bytes") == len(clients) * 64 * KIB, "all bodies are there")
    assert rig.shim.metric("uploads") == len(rig.shim.uploads()) == len(clients)
    assert rig.shim.metric("workers") == workers
    held = {pid: spool_files_of(rig.shim, pid) for pid in workers_of(rig.shim)}
    assert sum(held.values()) == len(clients)
    victim = max(held, key=lambda pid: held[pid])
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len({*workers_of(rig.shim)} - {*held}) == 1, "another takes its place")
    told(rig.shim, "was killed by signal 9")
    lost = 0
    for client in clients:
        client.offer(b"0\r\n\r\n")
    for client in clients:
        try:
            assert client.answer().status == 200
        except (AssertionError, OSError):
            lost += 1
        client.close()
    assert lost == held[victim], "the others are unharmed"
    rig.shim.await_rest()
    # All of the budget is free again, whichever worker is asked.
    for _ in range(2 * workers):
        # An answer may be read a moment before its request has given back what it held.
        eventually(lambda: is_let_in(rig, 8 * MIB), "all of the budget is free")
    rig.shim.await_rest()


def is_let_in(rig, size):
    """Whether a body of that size may be sent."""
    with rig.client() as client:
        client.send(head("PUT", "/after", f"Content-Length: {size}", "Expect: 100-continue"))
        return client.head()[0] == 100


@once
@NUMBERS
def test_all_workers_share_one_budget(rig_with, workers):
    rig = rig_with({"server.workers": workers, "spool.max_total": "4MiB"}, fresh=True)
    request = head("PUT", "/x", f"Content-Length: {MIB}", "Expect: 100-continue")
    check_jointly(rig, request, let_in=4, code="spool_full")


@once
@NUMBERS
def test_all_workers_count_uploads_together(rig_with, workers):
    rig = rig_with({"server.workers": workers, "limits.max_uploads": 5}, fresh=True)
    request = head("PUT", "/x", f"Content-Length: {MIB}", "Expect: 100-continue")
    check_jointly(rig, request, let_in=5, code="uploads_full")


@once
@pytest.mark.more
def test_all_workers_count_a_project_together(rig_with):
    rig = rig_with({"server.workers": 3, "spool.max_per_project": "3MiB"}, fresh=True)
    request = head("PUT", "/x", f"Content-Length: {MIB}", "Expect: 100-continue")
    check_jointly(rig, request, let_in=3, code="project_limit")


@once
@pytest.mark.more
def test_all_workers_count_connections_of_an_address_together(rig_with):
    rig = rig_with({"server.workers": 3, "limits.max_connections_per_address": 4}, fresh=True)
    clients = [rig.client() for _ in range(10)]
    try:
        refused = eventually(
            lambda: found if len(found := [one for one in clients if not one.silent()]) == 6 else None,
            "six are refused",
        )
        for client in refused:
            rig.assert_problem(client.answer("GET"), "project_limit")
        for client in clients:
            if client not in refused:
                client.send(get("/x"))
                assert client.answer().status == 200
    finally:
        for client in clients:
            client.close()
    eventually(lambda: rig.ask(get("/after")).status == 200, "there is room again")


def two_slots(stub, folder, others):
    return {"upstreams.main.servers": [stub.url], "upstreams.main.max_inflight": 2}, [
        {"path": "/**", "upstream": "main"}
    ]


@once
@NUMBERS
def test_all_workers_share_slots_and_line(rig_with, gate, workers):
    """Two are in the server and four in line, wherever; who is killed leaves its slots to the others."""
    rig = rig_with({"server.workers": workers, "limits.queue": 4}, plan=two_slots, fresh=True)
    rig.stub.on("/held", *[replies.held(gate, replies.normal(200, b"held"))] * 6)
    clients = [rig.client() for _ in range(6)]
    for client in clients:
        client.send(get("/held"))
    eventually(lambda: rig.shim.metric("queue_length") == 4, "four wait")
    assert rig.shim.metric("upstream_inflight") == len(rig.stub.requests) == 2
    with rig.client() as client:
        client.send(get("/held"))
        rig.assert_problem(client.answer(), "queue_full")
    holding = {pid: inside for pid in workers_of(rig.shim) if (inside := connections_to(rig.stub, pid))}
    victim, freed = holding.popitem()
    os.kill(victim, signal.SIGKILL)
    told(rig.shim, "was killed by signal 9")
    left = [client for client in clients if client.silent()]
    taken = min(freed, len(left) - (2 - freed))
    eventually(lambda: len(rig.stub.requests) == 2 + taken, "its slots are used by others")
    gate.set()
    for client in left:
        assert client.answer().body == b"held"
    for client in clients:
        client.close()
    eventually(lambda: rig.shim.metric("queue_length") == 0, "nobody waits")
    for number in range(2 * workers):
        assert rig.ask(get(f"/after/{number}")).status == 200


def connections_to(stub, pid):
    """How many connections of a process a stub has accepted."""
    sockets = {link for link in descriptors(pid) if link.startswith("socket:")}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = int(stub.url.rpartition(":")[2])
    return sum(
        f"socket:[{row[9]}]" in sockets and int(row[2].partition(":")[2], 16) == port and row[3] == "01"
        for row in rows
    )


def check_jointly(rig, request, *, let_in, code):
    """Of several clients just so many are let in, whoever serves them; and all of them again afterwards."""
    clients = [rig.client() for _ in range(3 * let_in)]
    try:
        for client in clients:
            client.send(request)
        waiting = [client for client in clients if first_status(client) == b"100"]
        for client in clients:
            if client not in waiting:
                rig.assert_problem(client.answer("PUT"), code)
        assert len(waiting) == let_in
        for client in waiting:
            client.send(bytes(MIB))
            assert client.answer("PUT").status == 200
    finally:
        for client in clients:
            client.close()
    rig.shim.await_rest()


def first_status(client):
    """The status of what has come, which is left for whoever reads it."""
    line = eventually(lambda: found if len(found := client.wire.pending()) > 12 else None, "an answer begins")
    return line[9:12]


# -- numbers over all workers -----------------------------------------------------------------------------


@once
@pytest.mark.more
def test_counters_never_go_back(rig_with):
    rig = rig_with({"server.workers": 3}, fresh=True)
    for number in range(30):
        assert rig.ask(put_chunked(f"/{number}", chunked(bytes(KIB)))).status == 200
    # The last one is counted after its client has the answer.
    eventually(lambda: rig.shim.metric("requests_total") == 30, "all are counted")
    names = ("requests_total", "body_bytes_total", "phase_seconds_count", "phase_seconds_sum")
    before = {name: rig.shim.metric(name) for name in names}
    assert (before["requests_total"], before["body_bytes_total"]) == (30, 30 * KIB)
    for round_ in (1, 2):
        for pid in workers_of(rig.shim):
            os.kill(pid, signal.SIGKILL)
            eventually(lambda gone=pid: gone not in workers_of(rig.shim), "it is gone")
            eventually(lambda: rig.shim.admin("/readyz").status == 200, "somebody serves")
            assert {name: rig.shim.metric(name) for name in names} == before, round_
    eventually(lambda: rig.shim.metric("workers") == 3, "all are back")
    status = json.loads(rig.shim.admin("/status.json").body)
    assert (status["requests"], status["workers"], status["life"]) == (30, 3, "serving")


# -- the end ----------------------------------------------------------------------------------------------


@once
@NUMBERS
def test_sigterm_drains_and_readiness_ends_first(rig_with, workers):
    rig = rig_with(
        {"server.workers": workers, "timeouts.drain_delay": "1s", "timeouts.drain": "10s"}, fresh=True
    )
    clients = [rig.client() for _ in range(4)]
    for client in clients:
        client.send(CODED, chunk(bytes(100 * KIB)))
    eventually(lambda: rig.shim.metric("uploads") == 4, "the uploads are there")
    rig.shim.ask_to_end()
    answer = eventually(
        lambda: found if (found := rig.shim.admin("/readyz")).status == 503 else None, "not ready any more"
    )
    assert b"the shim is leaving" in answer.body
    assert rig.ask(get("/still-served")).status == 200
    eventually(lambda: b"draining" in rig.shim.admin("/readyz").body, "it drains")
    for client in clients:
        client.send(b"0\r\n\r\n")
        assert client.answer().status == 200
        client.close()
    assert rig.shim.wait() == 0
    assert rig.shim.log_text().count('"Ended"') == 1
    assert not list((rig.shim.folder / "state").glob("shim-*")), "nothing of it is left"


@once
def test_a_second_signal_means_now(rig_with):
    rig = rig_with({"server.workers": 3, "timeouts.drain": "10min"}, fresh=True)
    with rig.client() as client:
        client.send(CODED, chunk(bytes(100 * KIB)))
        eventually(lambda: rig.shim.metric("uploads") == 1, "the upload is there")
        rig.shim.signal(signal.SIGINT)
        told(rig.shim, "Draining: ", times=3)
        rig.shim.signal(signal.SIGTERM)
        assert rig.shim.wait() == 0
        rig.shim.leaving = True
        assert client.ending() in ("fin", "reset")
    rig.stub.forget()


@once
@NUMBERS
def test_workers_do_not_outlive_their_supervisor(rig_with, workers):
    rig = rig_with({"server.workers": workers}, fresh=True)
    pids = workers_of(rig.shim)
    assert len(pids) == workers
    with rig.client() as client:
        client.send(CODED, chunk(bytes(100 * KIB)))
        eventually(lambda: rig.shim.metric("uploads") == 1, "the upload is there")
        rig.shim.signal(signal.SIGKILL)
        rig.shim.wait()
        client.send(b"0\r\n\r\n")
        assert client.answer().status == 200, "what was under way may end"
    eventually(lambda: not any(map(is_alive, pids)), "they are gone")
    told(rig.shim, "The supervisor has gone", times=workers)


def is_alive(pid):
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@once
@pytest.mark.more
def test_workers_that_cannot_start_end_the_shim(tmp_path, case):
    settings = {"upstream": "wsgi:nowhere.to:be_found", "server.workers": 2}
    shim = Shim(tmp_path, settings, forked=True)
    shim.launch()
    assert shim.wait() == 1
    assert "nowhere" in shim.log_text()


# -- reload -----------------------------------------------------------------------------------------------


class Traffic:
    """Clients that ask one thing after the other, each in a thread, until it is enough."""

    def __init__(self, rig, clients=4):
        self.rig = rig
        self.answered = 0
        self.lost = []
        self._over = threading.Event()
        works = [self.keep_alive, self.anew] * (clients // 2)
        self._threads = [threading.Thread(target=work, args=[number]) for number, work in enumerate(works)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def keep_alive(self, number):
        """On one connection for as long as answers allow it."""
        client = self.rig.client()
        while not self._over.is_set():
            client.send(put_chunked(f"/kept/{number}", chunked(bytes(100 * KIB), 9999)))
            try:
                answer = client.answer()
            except (AssertionError, OSError) as error:
                self.lost.append(repr(error))
                break
            self.note(answer)
            if (answer.header("Connection") or "").lower() == "close":
                client.close()
                client = self.rig.client()
        client.close()

    def anew(self, number):
        """On a connection for each request."""
        while not self._over.is_set():
            try:
                self.note(self.rig.ask(get(f"/anew/{number}", "Connection: close")))
            except (AssertionError, OSError) as error:
                self.lost.append(repr(error))

    def note(self, answer):
        if answer.status == 200:
            self.answered += 1
        else:
            self.lost.append(f"{answer.status} {answer.body[:500]!r}")


@once
@NUMBERS
def test_reload_under_traffic_loses_no_request(rig_with, workers):
    rig = rig_with({"server.workers": workers}, fresh=True)
    with rig.client() as slow, Traffic(rig) as traffic:
        slow.send(CODED, chunk(bytes(100 * KIB)))
        eventually(lambda: rig.shim.metric("uploads") >= 1, "the slow upload is there")
        for round_ in (1, 2):
            pids = workers_of(rig.shim)
            write_again(rig.shim, spool__max_body=f"{round_}MiB", server__workers=workers + round_)
            rig.shim.signal(signal.SIGHUP)
            told(rig.shim, "The new configuration is in force", times=round_)
            assert len({*workers_of(rig.shim)} - {*pids}) == workers + round_
            before = traffic.answered
            eventually(lambda reached=before: traffic.answered > reached + 10, "traffic goes on")
        slow.send(b"0\r\n\r\n")
        assert slow.answer().status == 200
    assert traffic.lost == []
    rig.assert_problem(rig.ask(put("/large", bytes(2 * MIB + 1))), "body_too_large")
    # Those of workers that have gone too; an answer may be read a moment before it is counted.
    answered = traffic.answered + 1
    eventually(lambda: rig.shim.metric("requests_total", status="200") == answered, "all are counted")


@once
@pytest.mark.more
def test_a_faulty_configuration_is_refused_and_the_old_one_goes_on(rig_with):
    rig = rig_with({}, fresh=True)
    pids = workers_of(rig.shim)
    good = rig.shim.file.read_text()
    rig.shim.file.write_text(good + "spool.max_boddy = 1\nspool.min_free = 'lots'\n")
    rig.shim.signal(signal.SIGHUP)
    told(rig.shim, "The new configuration is not used")
    log = rig.shim.log_text()
    assert "max_boddy" in log
    assert "spool.min_free" in log
    assert workers_of(rig.shim) == pids
    assert rig.ask(get("/x")).status == 200
    write_again(rig.shim, server__state_directory=str(rig.shim.folder / "elsewhere"))
    rig.shim.signal(signal.SIGHUP)
    told(rig.shim, "server.state_directory changes only with a restart")
    write_again(rig.shim, server__state_directory=str(rig.shim.folder / "state"))
    # One that is good but cannot be run is no better.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        further = taken.getsockname()
        write_again(rig.shim, server__listen=[f"127.0.0.1:{rig.shim.port}", f"127.0.0.1:{further[1]}"])
        rig.shim.signal(signal.SIGHUP)
        told(rig.shim, "The new configuration is not used", times=3)
        assert "another process listens there" in rig.shim.log_text()
    assert workers_of(rig.shim) == pids
    # The same file works as soon as the address is free, and the shim listens there too.
    rig.shim.signal(signal.SIGHUP)
    told(rig.shim, "The new configuration is in force")
    socket.create_connection(further).close()
    assert rig.ask(get("/x")).status == 200


# -- systemd ----------------------------------------------------------------------------------------------


@pytest.fixture
def systemd(tmp_path):
    """Systemd's socket for notifications."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        yield listener


def heard(listener, start):
    """The next notification that begins so; others come in between."""
    while not (message := listener.recv(1000)).startswith(start):
        pass
    return message


@once
@pytest.mark.more
def test_systemd_is_told_and_a_stuck_worker_is_replaced(pool, case, systemd, tmp_path):
    kind, _, _ = case.rpartition("-")
    with pool.stub(kind, tmp_path) as stub:
        environment = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "4000000"}
        settings = {"upstream": stub.url, "server.workers": 2}
        with Shim(tmp_path, settings, environment=environment, forked=True) as shim:
            assert heard(systemd, b"READY=1")
            assert b"serving: 2 workers, 0 uploads, 0 MiB held" in heard(systemd, b"STATUS=serving")
            assert heard(systemd, b"WATCHDOG=1")
            before = workers_of(shim)
            os.kill(before[0], signal.SIGSTOP)
            told(shim, "has not moved for 2 s and is killed")
            eventually(lambda: len({*workers_of(shim)} - {before[0]}) == 2, "it is replaced")
            shim.signal(signal.SIGHUP)
            assert b"\nMONOTONIC_USEC=" in heard(systemd, b"RELOADING=1")
            assert heard(systemd, b"READY=1")
            shim.ask_to_end()
            assert heard(systemd, b"STOPPING=1")


class Activated(Shim):
    """A shim whose sockets systemd has opened."""

    def __init__(self, folder, settings, listeners, **options):
        super().__init__(folder, settings, **options)
        self.listeners = listeners

    def launch(self):
        self.leaving = False
        self.port, self.admin_port = (listener.getsockname()[1] for listener in self.listeners)
        self.file.write_text(self._configuration())
        moved = {3 + index: listener.fileno() for index, listener in enumerate(self.listeners)}

        def place() -> None:
            for wanted, own in moved.items():
                os.dup2(own, wanted)

        # The shell's id is the shim's, as systemd knows it after its fork.
        command = f"LISTEN_PID=$$ exec {self.python} -m shim serve --config {self.file}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "clients:admin"},
                preexec_fn=place,  # noqa: PLW1509 - it only moves descriptors
                pass_fds=(3, 4),
                start_new_session=True,
            )


def at_number(number):
    """A listening socket that has not one of the numbers that it will get."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        return socket.socket(fileno=os.dup2(listener.fileno(), number, inheritable=False))


@once
@pytest.mark.more
def test_a_restart_with_sockets_of_systemd_loses_no_connection(pool, case, tmp_path):
    kind, _, _ = case.rpartition("-")
    listeners = [at_number(300 + index) for index in range(2)]
    with pool.stub(kind, tmp_path) as stub:
        # What is configured is not listened on: its place is taken.
        settings = {"upstream": stub.url, "server.listen": ["127.0.0.1:1"], "admin.listen": "127.0.0.1:2"}
        shim = Activated(tmp_path, settings, listeners)
        with shim, socket.create_connection(("127.0.0.1", shim.port)) as first:
            first.sendall(get("/first", "Connection: close"))
            assert first.recv(100).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", shim.port)) as between:
            between.sendall(get("/between", "Connection: close"))
            with shim:
                assert between.recv(100).startswith(b"HTTP/1.1 200"), "it waited in the queue"
    for listener in listeners:
        listener.close()


# -- a second instance ------------------------------------------------------------------------------------


class Successor(Shim):
    """A shim that listens where another one does already."""

    def __init__(self, folder, settings, port):
        super().__init__(folder, {**settings, "server.listen": [f"127.0.0.1:{port}"]}, forked=True)
        self._shared = port

    def launch(self):
        super().launch()
        self.port = self._shared


@once
@pytest.mark.more
def test_a_second_instance_takes_over_and_shares_the_limits(rig_with, tmp_path):
    settings = {
        "server.reuse_port": True,
        "spool.max_total": "4MiB",
        "server.workers": 2,
        "timeouts.drain": "20s",
    }
    rig = rig_with(settings, fresh=True)
    state = {"server.state_directory": str(rig.shim.folder / "state")}
    successor = Successor(tmp_path, {**rig.shim.settings, **state}, rig.shim.port)
    with rig.client() as client:
        client.send(head("PUT", "/old", f"Content-Length: {3 * MIB}"), bytes(MIB))
        eventually(lambda: rig.shim.metric("uploads") == 1, "the old one has an upload")
        with successor:
            rig.shim.ask_to_end()
            told(rig.shim, "Draining: ", times=2)
            answer = eventually(
                lambda: found if (found := rig.ask(put("/new", bytes(2 * MIB)))).status == 503 else None,
                "the new one knows what the old one holds",
            )
            rig.assert_problem(answer, "spool_full")
            assert rig.ask(put("/new", bytes(MIB))).status == 200
            client.send(bytes(2 * MIB))
            assert client.answer("PUT").status == 200
            # As clients do that are told so: else its connection lingers for as long as the drain may take.
            client.close()
            assert rig.shim.wait() == 0
            assert rig.ask(put("/new", bytes(4 * MIB))).status == 200
