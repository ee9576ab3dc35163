"""The supervisor over real processes that do next to nothing; what it decides is tested in ``test_workers``.

Each story is a program of its own: only one without threads may fork.
"""

import os
import re
import signal
import socket

import pytest

from shim.server.wakeups import Wakeups
from shim.timing import UNLIMITED
from tests.support.scripts import running
from tests.support.wire import eventually

PROGRAM = """
import logging, os, signal, sys, time
from shim.server.addresses import TcpAddress
from shim.server.channel import Beat
from shim.server.listen import ListenOptions
from shim.server.notify import Notifier
from shim.server.plan import Plan, PlanRefused
from shim.server.supervise import Supervisor
from shim.server.workers import Patience

logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
HERE = (TcpAddress("127.0.0.1", 0),)

def plan(work, workers=1):
    return Plan(HERE, (), ListenOptions(), workers, work)

def replan():
    raise PlanRefused("it is no better")

def serve(station):
    "Tell its number to each client, until it is told to end."
    station.post.tell(Beat())
    line, listener = station.post._line, station.listeners[0]
    line.setblocking(True)
    listener.setblocking(True)
    listener.settimeout(0.01)
    while True:
        try:
            client, _ = listener.accept()
            client.sendall(b"%d %d" % (station.number, os.getpid()))
            client.close()
        except TimeoutError:
            pass
        line.setblocking(False)
        try:
            if line.recv(100) is not None:
                return 0
        except BlockingIOError:
            pass

def supervise(work, workers=1, **options):
    options.setdefault("patience", Patience(settled=60, first_pause=0.01, longest_pause=0.02, attempts=4))
    supervisor = Supervisor(plan(work, workers), replan=replan, notifier=Notifier(), **options)
    print("ended as asked" if supervisor.run() else "failed", flush=True)
"""


def lines(process, last):
    """What a program prints, up to a line that matches ``last``."""
    told = []
    while True:
        line = process.stdout.readline().decode()
        assert line, f"ended after {told}"
        told.append(line.rstrip("\n"))
        if re.fullmatch(last, told[-1]):
            return told


def test_workers_that_crash_again_and_again():
    script = (
        PROGRAM
        + """
def crash(station):
    station.post.tell(Beat())
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGSEGV)

buried = []
supervise(crash, bury=buried.append)
print(buried)
"""
    )
    with running(script) as process:
        told = lines(process, "failed")
        assert [line for line in told if line.startswith("Worker ")] == [
            f"Worker {number} was killed by signal 11" for number in (1, 2, 3, 4)
        ]
        assert "A new worker takes its place in 0.02 s" in told
        assert told[-2:] == ["4 workers in a row ended at once: giving up", "failed"]
        assert lines(process, r"\[.*") == ["[1, 2, 3, 4]"]


def test_a_replacement_that_hangs_at_its_start_is_killed_and_replaced():
    script = (
        PROGRAM
        + """
import mmap
hours = mmap.mmap(-1, 1)

def begin(station):
    if station.number == 1:
        station.post.tell(Beat())
        time.sleep(0.05)
        return 3
    if station.number == 2:
        # Time flies, and the supervisor looks at its clock.
        hours[0] += 1
        os.kill(os.getppid(), signal.SIGHUP)
        signal.pause()
    return serve(station)

supervise(begin, clock=lambda: time.monotonic() + 3600 * hours[0])
"""
    )
    with running(script) as process:
        (listening,) = lines(process, "Listening on .*")
        assert lines(process, "Worker 2 was killed by signal 9")[-2:] == [
            "Worker 2 has not come up and is killed",
            "Worker 2 was killed by signal 9",
        ]
        place = ("127.0.0.1", int(listening.rpartition(":")[2]))
        with socket.create_connection(place) as client:
            assert client.recv(100).startswith(b"3 ")
        process.send_signal(signal.SIGTERM)
        assert lines(process, "ended as asked")[-1] == "ended as asked"


NO_ROOM = """
import errno
fork, refused = os.fork, set()

def fork_if_there_is_room(count=[0]):
    count[0] += 1
    if count[0] in refused:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return fork()

os.fork = fork_if_there_is_room
"""


def test_a_replacement_that_cannot_be_forked_is_tried_again():
    script = (
        PROGRAM
        + NO_ROOM
        + """
refused |= {2, 3}
def begin(station):
    if station.number == 1:
        station.post.tell(Beat())
        time.sleep(0.05)
        return 3
    return serve(station)

before = os.listdir("/proc/self/fd")
supervise(begin)
print(len(os.listdir("/proc/self/fd")) - len(before), "descriptors left")
"""
    )
    with running(script) as process:
        (listening,) = lines(process, "Listening on .*")
        told = lines(process, "A new worker takes its place in 0.02 s")
        advice = "Cannot allocate memory; free memory, or set fewer workers"
        assert [line for line in told if "cannot be started" in line] == [
            f"Worker {number} cannot be started: {advice}" for number in (2, 3)
        ]
        place = ("127.0.0.1", int(listening.rpartition(":")[2]))
        with socket.create_connection(place) as client:
            assert client.recv(100).startswith(b"4 ")
        process.send_signal(signal.SIGTERM)
        assert lines(process, "ended as asked")[-1] == "ended as asked"
        assert lines(process, ".* descriptors left") == ["0 descriptors left"]


def test_no_worker_at_all_can_be_forked():
    with running(PROGRAM + NO_ROOM + "refused |= {1}\nsupervise(serve)") as process:
        told = lines(process, "failed")
        assert told[0].startswith("Worker 1 cannot be started: Cannot allocate memory")


def test_a_reload_that_cannot_be_forked_is_called_off():
    script = (
        PROGRAM
        + NO_ROOM
        + """
def replan():
    return plan(serve)

def begin(station):
    station.post.tell(Beat())
    os.kill(os.getppid(), signal.SIGHUP)
    return serve(station)

refused |= {2}
supervise(begin)
"""
    )
    with running(script) as process:
        lines(process, "The new configuration is not used: .*")
        process.send_signal(signal.SIGHUP)
        lines(process, "The new configuration is in force")
        process.send_signal(signal.SIGTERM)
        assert lines(process, "ended as asked")[-1] == "ended as asked"


def test_a_worker_that_raises_is_told_with_its_fault():
    script = (
        PROGRAM
        + """
def fail(station):
    raise RuntimeError("a bug")

supervise(fail)
"""
    )
    with running(script) as process:
        told = lines(process, "failed")
        assert "Worker 1 failed" in told
        assert told[-2:] == ["RuntimeError: a bug", "failed"]


def test_a_life_with_a_crash_a_refused_reload_and_an_end():
    with running(PROGRAM + "supervise(serve, workers=2)") as process:
        (listening,) = lines(process, "Listening on .*")
        place = ("127.0.0.1", int(listening.rpartition(":")[2]))

        def ask():
            with socket.create_connection(place) as client:
                return [int(number) for number in client.recv(100).split()]

        first, pid = ask()
        process.send_signal(signal.SIGHUP)
        assert lines(process, "The new configuration is not used: it is no better")
        os.kill(pid, signal.SIGKILL)
        assert lines(process, "A new worker takes its place")[0] == f"Worker {first} was killed by signal 9"
        eventually(lambda: ask()[0] == 3, "the new one serves")
        process.send_signal(signal.SIGTERM)
        assert lines(process, "ended as asked")[-2:] == ["Ended", "ended as asked"]
        with pytest.raises(ConnectionRefusedError):
            ask()


def test_a_reload_that_is_asked_for_before_the_first_worker_serves():
    script = (
        PROGRAM
        + """
def replan():
    return plan(serve)

def serve_later(station):
    os.kill(os.getppid(), signal.SIGHUP)
    return serve(station)

supervise(serve_later)
"""
    )
    with running(script) as process:
        first, *_, second = [line for line in lines(process, "The new configuration is in force") if line]
        assert first.startswith("Listening on"), "what it reloads from is in force, and told of"
        assert second == "The new configuration is in force"
        process.send_signal(signal.SIGTERM)
        assert lines(process, "ended as asked")[-1] == "ended as asked"


def test_orphans_are_buried_and_are_nobodys_fault():
    """As the first process of a container it inherits what other programs leave behind."""
    script = (
        PROGRAM
        + """
import ctypes
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

def leave(station):
    station.post.tell(Beat())
    if os.fork() == 0:
        time.sleep(0.2)
        os._exit(3)
    time.sleep(0.1)
    return 0

supervise(leave, patience=Patience(attempts=1))
time.sleep(0.3)
"""
    )
    with running(script) as process:
        told = lines(process, "failed")
        assert [line for line in told if line.startswith("Worker")] == ["Worker 1 ended with status 0"]


@pytest.mark.parametrize("endless", [None, UNLIMITED])
def test_a_signal_ends_waiting(endless):
    with Wakeups() as wakeups:
        signal.raise_signal(signal.SIGHUP)
        wakeups.wait([], endless)
        assert wakeups.signals == [signal.SIGHUP]
        # Once noted it wakes nobody again.
        wakeups.wait([], 0.001)
    signal.raise_signal(signal.SIGHUP)
    assert wakeups.signals == [signal.SIGHUP]
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        assert signal.signal(number, signal.SIG_DFL) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_line_ends_waiting():
    near, far = socket.socketpair()
    with near, far, Wakeups() as wakeups:
        far.send(b"x")
        wakeups.wait([near], None)
        assert near.recv(1) == b"x"
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
