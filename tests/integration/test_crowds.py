"""Many clients at once, few descriptors, and a wall clock that jumps: what one process bears, and gives back.

One shim for all of them, for each of them must leave it as it was.
"""

import contextlib
import hashlib
import mmap
import os
import resource
import selectors
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.building import build, compiler
from tests.support.client import LAST, Client, chunk, get, head, put, put_chunked
from tests.support.shim import Shim, descriptors
from tests.support.stub import Stub
from tests.support.wire import PATIENCE, eventually

pytestmark = pytest.mark.servers

KIB = 1 << 10
DAY = 86_400
CODED = head("PUT", "/x", "Transfer-Encoding: chunked")
HEAD_TIME = 5
# What one process may need besides the connections of a crowd.
BESIDES = 500


class Clock:
    """The shim's wall clock, beside the real one."""

    def __init__(self, folder: Path) -> None:
        file = folder / "shift"
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._mapped = mmap.mmap(opened.fileno(), 0)
        self.environment = {"LD_PRELOAD": str(build("shifted_clock", folder)), "SHIFTED_CLOCK": str(file)}

    def set(self, seconds: int) -> None:
        """Let it jump to so many seconds beside the real one."""
        self._mapped[:] = struct.pack("l", seconds)


class Chain:
    """A shim before a stub."""

    def __init__(self, shim: Shim, stub: Stub, clock: Clock) -> None:
        self.shim = shim
        self.stub = stub
        self.clock = clock

    @property
    def worker(self) -> int:
        """The one process that serves."""
        (pid,) = Path(f"/proc/{self.shim.pid}/task/{self.shim.pid}/children").read_text().split()
        return int(pid)

    def connect(self) -> Client:
        """A new connection."""
        return Client(("127.0.0.1", self.shim.port), patience=2 * PATIENCE)

    def ask(self, request: bytes) -> int:
        """The status of the answer to a request on a connection of its own."""
        with self.connect() as client:
            client.send(request)
            return client.answer(request.split(b" ")[0].decode()).status


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Iterator[Chain]:
    if compiler() is None:
        pytest.skip("no C compiler (Debian: gcc, libc6-dev)")
    folder = tmp_path_factory.mktemp("crowds")
    clock = Clock(folder)
    settings = {
        "spool.memory_limit": "16KiB",
        "timeouts.header": HEAD_TIME,
        "timeouts.keepalive": "1s",
        "limits.max_connections": 20_000,
    }
    with (
        # One request a connection: none stays open at rest.
        Stub("uwsgi") as stub,
        Shim(folder, {"upstream": stub.url, **settings}, environment=clock.environment) as shim,
    ):
        yield Chain(shim, stub, clock)


@pytest.fixture(autouse=True)
def all_is_given_back(chain: Chain) -> Iterator[None]:
    # Threads, and what they wait on, begin with the first large body.
    assert chain.ask(put_chunked("/first", chunk(bytes(64 * KIB)) + LAST)) == 200
    chain.stub.forget()
    chain.shim.await_rest()
    before = sockets_of(chain.worker)
    yield
    chain.shim.await_rest()
    eventually(lambda: sockets_of(chain.worker) <= before, "its descriptors are closed")
    assert not chain.shim.complaints()
    chain.stub.forget()


def sockets_of(pid: int) -> int:
    """How many descriptors a process has."""
    return len(descriptors(pid))


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many descriptors for this process as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_that_say_nothing_and_some_that_drip(chain: Chain, many_files):
    mine, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    its, most = resource.prlimit(chain.worker, resource.RLIMIT_NOFILE)
    assert its == most, "serve has raised it"
    count = min(10_000, mine - BESIDES, its - BESIDES)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connection(chain.shim.port)) for _ in range(count)]
        drips = []
        for _ in range(50):
            drips.append(stack.enter_context(chain.connect()))
            drips[-1].send(b"G")
        for byte in (b"E", b"T", b" ", b"/"):
            assert chain.ask(get("/beside")) == 200
            for client in drips:
                client.offer(byte)
        # Who has said nothing is let go without a word, who has not come to an end is told so.
        await_ends(idle)
        assert {client.answer().status for client in drips} == {408}
    assert chain.ask(get("/after")) == 200


@contextlib.contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 2 * PATIENCE) as connected:
        connected.setblocking(False)
        yield connected


def await_ends(connections: list[socket.socket]) -> None:
    """Each must end, and without a byte."""
    with selectors.DefaultSelector() as selector:
        for one in connections:
            selector.register(one, selectors.EVENT_READ)
        while left := selector.get_map():
            ready = selector.select(2 * PATIENCE)
            assert ready, f"{len(left)} connections stay open"
            for key, _ in ready:
                assert key.fileobj.recv(10) == b""
                selector.unregister(key.fileobj)


def test_five_hundred_slow_uploads(chain: Chain, many_files):
    bodies = [number.to_bytes(2, "big") * (12 * KIB) for number in range(500)]
    piece = 6 * KIB
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(chain.connect()) for _ in bodies]
        for number, client in enumerate(clients):
            client.send(head("PUT", f"/{number}", "Transfer-Encoding: chunked"))
        for start in range(0, len(bodies[0]), piece):
            for client, body in zip(clients, bodies, strict=True):
                client.send(chunk(body[start : start + piece]))
            assert chain.ask(get("/beside")) == 200
        eventually(lambda: chain.shim.metric("uploads") == len(bodies), "all have begun, one after the other")
        for client in clients:
            client.send(LAST)
        assert {client.answer().status for client in clients} == {200}
    seen = {one.target: one.sha256 for one in chain.stub.requests if one.method == "PUT"}
    assert seen == {f"/{number}": hashlib.sha256(body).hexdigest() for number, body in enumerate(bodies)}


def test_no_descriptor_left(chain: Chain):
    """Some are told that there is no room, or wait to be let in; nobody is answered wrongly."""
    worker, limits = chain.worker, resource.prlimit(chain.worker, resource.RLIMIT_NOFILE)
    held = sockets_of(worker)
    statuses = []
    for spare in range(0, 30, 3):
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (held + spare, limits[1]))
        try:
            statuses += crowd_of(chain, 10)
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
        chain.shim.await_rest()
        eventually(lambda: sockets_of(worker) <= held, f"all are closed that {spare} allowed")
    assert {200, 507} <= {*statuses} <= {200, 502, 507}
    assert chain.stub.faults == []
    assert statuses.count(200) == sum(seen.received == 20 * KIB for seen in chain.stub.requests)
    assert chain.worker == worker
    assert chain.ask(put("/after", os.urandom(64 * KIB))) == 200


def crowd_of(chain: Chain, count: int) -> list[int]:
    """The statuses of as many uploads at once as are answered at all."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(chain.connect()) for _ in range(count)]
        for client in clients:
            client.offer(CODED, chunk(bytes(20 * KIB)))
        for client in clients:
            client.offer(LAST)
        for client in clients:
            # Who was not let in yet gets nothing before others have gone.
            client.patience = client.wire.patience = 2.0
        return [status for client in clients if (status := status_of(client)) is not None]


def status_of(client: Client) -> int | None:
    """Of the answer, None where the connection ended without one."""
    try:
        return client.answer("PUT").status
    except (AssertionError, OSError):
        return None


def test_a_wall_clock_that_jumps(chain: Chain):
    """Nothing that is waited for goes by it; only what is written into the log does."""
    start = chain.shim.log_size()
    try:
        with chain.connect() as client:
            client.send(CODED, chunk(bytes(40 * KIB)))
            for jump in (DAY, -DAY, 40 * 365 * DAY, 0):
                chain.clock.set(jump)
                client.send(chunk(bytes(10 * KIB)))
                assert chain.ask(get("/beside")) == 200
                assert chain.shim.admin("/readyz").status == 200
            client.send(LAST)
            assert client.answer("PUT").status == 200
    finally:
        chain.clock.set(0)
    lines = [line for line in chain.shim.log_lines(start) if line["logger"] == "shim.access"]
    assert len({line["time"][:10] for line in lines}) == 4
    assert all(0 <= line["seconds"] < DAY / 2 for line in lines)
