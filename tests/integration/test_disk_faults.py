"""A disk that fails under the real process: by a library that stands before the kernel, and by a full tmpfs.

Whatever it does, a server never gets a part for the whole, the log says which disk it is and what to do, and
all is well again when the disk is.
"""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.building import compiler
from tests.support.client import Answer, Client, chunked, get, put, put_chunked
from tests.support.faulty_disk import Calls, FaultyDisk, What
from tests.support.rig import WAYS
from tests.support.shim import Shim
from tests.support.stub import Stub
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

KIB, MIB = 1 << 10, 1 << 20
BODY = os.urandom(3 * MIB)
UPLOAD = put_chunked("/x", chunked(BODY, 100_000))
READING = Calls.READ | Calls.SEND
Filling = Callable[[], contextlib.AbstractContextManager[None]]


class Chain:
    """A shim on a disk that may fail, before a stub."""

    def __init__(self, shim: Shim, stub: Stub, disk: FaultyDisk) -> None:
        self.shim = shim
        self.stub = stub
        self.disk = disk

    def ask(self, request: bytes = UPLOAD) -> Answer:
        """Send one request, as far as it is taken, and read the answer."""
        with Client(("127.0.0.1", self.shim.port)) as client:
            client.offer(request)
            return client.answer(request.split(b" ", 1)[0].decode())

    def ready(self) -> tuple[int, str]:
        """What /readyz says."""
        answer = self.shim.admin("/readyz")
        return answer.status, answer.body.decode()

    def records(self, start: int, code: str) -> list[dict]:
        """The access log's lines with a code."""
        return eventually(
            lambda: [line for line in self.shim.log_lines(start) if line.get("end") == code],
            f"a line: {code}",
        )


@pytest.fixture(scope="module", params=["plain", "fast"])
def chain(request, tmp_path_factory) -> Iterator[Chain]:
    if compiler() is None:
        pytest.skip("no C compiler (Debian: gcc, libc6-dev)")
    folder = tmp_path_factory.mktemp("faulty")
    disk = FaultyDisk(folder, folder / "spool")
    settings = {**WAYS[request.param], "spool.memory_limit": "16KiB"}
    with (
        Stub() as stub,
        Shim(folder, {"upstream": stub.url, **settings}, environment=disk.environment) as shim,
    ):
        yield Chain(shim, stub, disk)


@pytest.fixture(autouse=True)
def all_is_well_again(request) -> Iterator[None]:
    yield
    if "chain" not in request.fixturenames:
        return
    chain = request.getfixturevalue("chain")
    chain.shim.await_rest()
    assert chain.ask().status == 200
    # The last, for on a busy machine the stub may only now hear of a call that was cut.
    assert chain.stub.requests[-1].received == len(BODY)
    eventually(lambda: chain.ready()[0] == 200, "it is ready again")
    assert not chain.shim.complaints()
    chain.stub.forget()


ROOM, LOG = "make room there", "look at the kernel's log"


@pytest.mark.parametrize(
    ("calls", "after", "number", "code", "advice"),
    [
        (Calls.OPEN, 0, errno.EROFS, "disk_error", LOG),
        (Calls.OPEN, 0, errno.ENOSPC, "disk_full", ROOM),
        (Calls.OPEN, 0, errno.EMFILE, "disk_error", "raise the limit of open files"),
        (Calls.WRITE, 0, errno.EIO, "disk_error", LOG),
        (Calls.WRITE, 0, errno.EDQUOT, "disk_full", ROOM),
        (Calls.WRITE, MIB + 1, errno.EIO, "disk_error", LOG),
        (Calls.WRITE, MIB + 1, errno.ENOSPC, "disk_full", ROOM),
    ],
)
def test_what_cannot_be_written(chain: Chain, *, calls, after, number, code, advice):
    start = chain.shim.log_size()
    with chain.disk.fault(calls, What.FAIL, after=after, number=number):
        answer = chain.ask()
        assert (answer.status, answer.problem["code"]) == (507, code)
        assert (answer.header("Retry-After") is not None) == (code == "disk_full")
        # Small bodies need no disk, and go on being served; but balancers are told.
        assert chain.ask(put("/small", b"small")).status == 200
        if after == 0:
            status, reason = chain.ready()
            assert status == 503
            assert str(chain.shim.spool) in reason
            assert advice in reason
    assert [seen.target for seen in chain.stub.requests] == ["/small"]
    (record,) = chain.records(start, code)
    for word in (str(chain.shim.spool), os.strerror(number), advice):
        assert word in record["detail"]
    assert str(chain.shim.spool) not in answer.body.decode()


@pytest.mark.parametrize("what", [What.FAIL, What.END])
@pytest.mark.parametrize("after", [0, 2 * MIB])
def test_what_cannot_be_read_back(chain: Chain, what: What, after: int):
    start = chain.shim.log_size()
    target = f"/{what.name}/{after}"
    with chain.disk.fault(READING, what, after=after):
        answer = chain.ask(put_chunked(target, chunked(BODY, 64 * 1024)))
    assert (answer.status, answer.problem["code"]) == (507, "disk_error")
    assert not any(seen.complete for seen in chain.stub.requests if seen.target == target)
    (record,) = chain.records(start, "disk_error")
    assert f"{chain.shim.spool}: look at the kernel's log" in record["detail"]


@pytest.mark.parametrize("calls", [Calls.WRITE, READING], ids=["writes", "reads"])
def test_short_calls_are_gone_on_with(chain: Chain, calls: Calls):
    with chain.disk.fault(calls, What.SHORTEN):
        assert chain.ask().status == 200
        assert chain.disk.hits
    assert chain.stub.only().received == len(BODY)


@pytest.mark.parametrize("calls", [Calls.WRITE, READING], ids=["writes", "reads"])
def test_a_stall_is_the_affair_of_its_own_requests(chain: Chain, calls: Calls):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(("127.0.0.1", chain.shim.port))) for _ in range(3)]
        with chain.disk.fault(calls, What.STALL, after=MIB):
            for client in clients:
                client.sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    client.sock.sendall(UPLOAD[: 1 << 16])
            for client in clients:
                client.sock.setblocking(True)
            assert chain.ask(get("/beside")).status == 200
            assert chain.ask(put("/beside", b"small")).status == 200
        for client in clients:
            client.send(UPLOAD[1 << 16 :])
        assert [client.answer("PUT").status for client in clients] == [200] * 3


# -- a disk that is full --------------------------------------------------------------------------


@pytest.fixture
def disk_to_fill(tmp_path) -> Iterator[tuple[Mapping[str, str], Filling]]:
    """A spool of 4 MiB, of which 2 are taken while a block runs; and the environment for a shim on it.

    A file system of that size, where one can be mounted; else the library says what the kernel would say.
    """
    place = tmp_path / "spool"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=False).returncode:
        disk = FaultyDisk(tmp_path, place)
        full = {"after": 2 * MIB, "number": errno.ENOSPC}
        yield disk.environment, lambda: disk.fault(Calls.WRITE, What.FAIL, **full)
        return
    try:
        yield {}, lambda: ballast(place)
    finally:
        subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def ballast(place: Path) -> Iterator[None]:
    file = place / "ballast"
    file.write_bytes(bytes(2 * MIB))
    try:
        yield
    finally:
        file.unlink()


def test_a_file_system_without_room(disk_to_fill, tmp_path: Path):
    environment, filled = disk_to_fill
    settings = {"spool.min_free": "0B", "spool.max_total": "unlimited", "spool.memory_limit": "16KiB"}
    with Stub() as stub, Shim(tmp_path, {"upstream": stub.url, **settings}, environment=environment) as shim:
        with Client(("127.0.0.1", shim.port)) as client, filled():
            client.offer(UPLOAD)
            answer = client.answer("PUT")
            assert (answer.status, answer.problem["code"]) == (507, "disk_full")
        assert not stub.requests
        shim.await_rest()
        with Client(("127.0.0.1", shim.port)) as client:
            client.send(UPLOAD)
            assert client.answer("PUT").status == 200
        assert stub.only().received == len(BODY)
