"""Filling a body from its client: every limit has its own end, and only the client's own time counts."""

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.admission.gate import COUNTED_FROM, UploadGate
from shim.admission.limits import BodyPace
from shim.errors import (
    BadFraming,
    BodyIdleTimeout,
    BodyTooLarge,
    BodyTooSlow,
    BodyTotalTimeout,
    ClientGone,
    DigestMismatch,
    DiskError,
    DiskFull,
    LimitReached,
    SizeMismatch,
    UploadsFull,
)
from shim.observe.journal import Record
from shim.proxy.look import Look
from shim.proxy.receive import BodyReceiver
from shim.spool.body import Body, BodyState
from shim.timing import UNLIMITED
from shim.wire.digest import BodyDigest, Declared
from tests.fakes.client import GONE, FakeClient
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.properties.cutting import cuts, mutated
from tests.support.series import series

# Each test asks one thing of the client.
ANY_PACE = BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=0)
IDLE = BodyPace(idle=60, total=UNLIMITED, min_rate=0)
TOTAL = BodyPace(idle=UNLIMITED, total=100, min_rate=0)
RATE = BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=10, grace=30)
MEMORY = 100


class Upload:
    """One body being received, with everything around it in view."""

    def __init__(
        self,
        *script,
        declared=None,
        digest=None,
        pace=ANY_PACE,
        uploads=1,
        memory=MEMORY,
        admit=None,
        disk=None,
        here=(),
        pump=None,
    ):
        self.client = FakeClient(*script)
        self.disk = disk or FakeDisk()
        self.body = Body(self.disk.create, memory_limit=memory, admit=admit or (lambda _size: None))
        self.gate = UploadGate(uploads)
        self.record = Record("req-1", "PUT", "/", "192.0.2.7", 0.0)
        self.declared = declared
        self.pace = pace
        self.here = list(here)
        self.digest = digest
        self.pump = pump
        self.lasted = 0.0

    async def fill(self):
        with self.gate.ticket() as ticket:
            receiver = BodyReceiver(
                self.client.receive,
                self.body,
                declared=self.declared,
                pace=self.pace,
                ticket=ticket,
                record=self.record,
                take_over=None if self.pump is None else lambda: self.pump,
                receive_now=self.receive_now if self.here else None,
                digest=self.digest,
                clock=loop_time,
            )
            started = loop_time()
            try:
                await receiver.fill()
            finally:
                self.lasted = loop_time() - started

    def receive_now(self):
        """The server's offer: what is here already; the script comes after it."""
        if not self.here:
            return None
        body = self.here.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self.here or self.client.has_more)}

    async def contents(self):
        data = b""
        while piece := await self.body.read(len(data), 1 << 20):
            data += piece
        return data


def run_upload(*script, error=None, **options):
    """Receive a body to its end, or to the error; the upload as it then is."""

    async def scene():
        upload = Upload(*script, **options)
        if error is None:
            await upload.fill()
            assert upload.body.state is BodyState.SEALED
            upload.data = await upload.contents()
        else:
            with pytest.raises(error) as fault:
                await upload.fill()
            upload.fault = fault.value
            # Whoever reads it ends with the same error, and never with a shorter body.
            assert upload.body.state is BodyState.FAILED
            with pytest.raises(error) as told:
                await upload.body.read(0, 10)
            assert told.value is fault.value
        assert upload.gate.under_way == 0
        await upload.body.close()
        assert upload.disk.open_files == 0
        return upload

    return run_leaping(scene())


# -- whole bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "unknown"])
@pytest.mark.parametrize(
    "pieces",
    [[], [b""], [b"foobar"], [b"foo", b"", b"bar"], [b"x"] * 300, [bytes(MEMORY), b"x"]],
    ids=["nothing", "empty", "one", "three", "many", "file"],
)
def test_a_whole_body(pieces, declared):
    data = b"".join(pieces)
    upload = run_upload(*pieces, declared=len(data) if declared else None)
    assert upload.data == data
    assert upload.record.received == len(data)


def test_the_live_view_sees_it_grow():
    async def scene():
        go_on = asyncio.Event()
        upload = Upload(b"foo", go_on, b"bar")
        task = asyncio.ensure_future(upload.fill())
        await let_others_run()
        assert upload.record.received == 3
        go_on.set()
        await task
        assert upload.record.received == 6
        await upload.body.close()

    run_leaping(scene())


# -- time -----------------------------------------------------------------------------------------


@series(
    ("script", "error", "lasted"),
    [
        ([b"a", 59, b"b", 59, b"c"], None, 118),
        ([61, b"a"], BodyIdleTimeout, 60),
        ([b"a", 61, b"b"], BodyIdleTimeout, 60),
        ([b"a", 50, b"b", 61, b"c"], BodyIdleTimeout, 110),
        # Messages without bytes are no sign of life: who sends them has a server that is chatty.
        ([b"a", 30, b"", 30, b"", 30, b"b"], BodyIdleTimeout, 60),
    ],
)
def test_idle(script, error, lasted):
    upload = run_upload(*script, pace=IDLE, error=error)
    assert upload.lasted == pytest.approx(lasted)
    if error:
        assert "60 s" in upload.fault.detail


@pytest.mark.parametrize(
    ("script", "error", "lasted"),
    [
        ([b"a", 99, b"b"], None, 99),
        ([101, b"a"], BodyTotalTimeout, 100),
        ([step for _ in range(200) for step in (b"x", 1)], BodyTotalTimeout, 100),
    ],
)
def test_total(script, error, lasted):
    upload = run_upload(*script, pace=TOTAL, error=error)
    assert upload.lasted == pytest.approx(lasted)
    if error:
        assert "100 s" in upload.fault.detail


@pytest.mark.parametrize(
    ("script", "error", "lasted"),
    [
        # A drip is never idle, and too slow all the same.
        ([step for _ in range(1000) for step in (b"x", 0.5)], BodyTooSlow, 30),
        ([step for _ in range(100) for step in (b"x" * 11, 1)], None, 100),
        ([31, b"x" * 1000], BodyTooSlow, 30),
        # A good beginning is good only for the seconds that it came in; a step of the window goes by.
        ([b"x" * 600, 1000, b"x"], BodyTooSlow, 31),
        ([b"x" * 600, 25, b"x" * 1000, 20, b"x"], None, 45),
        # A short body may be slow.
        ([b"x", 29, b"x"], None, 29),
    ],
    ids=["drip", "just enough", "nothing", "burst", "two bursts", "short"],
)
def test_rate(script, error, lasted):
    upload = run_upload(*script, pace=RATE, error=error)
    # Judged at steps of a sixteenth of the grace.
    assert upload.lasted == pytest.approx(lasted, abs=2)


def test_a_fast_beginning_does_not_excuse_a_slow_end():
    """The floor is over the last 30 seconds, not over the whole body."""
    fast = [step for _ in range(100) for step in (b"x" * 1000, 1)]
    slow = [step for _ in range(100) for step in (b"x", 1)]
    upload = run_upload(*fast, *slow, pace=RATE, error=BodyTooSlow)
    assert 130 <= upload.lasted <= 135


SLOW_DISK = [
    ("idle", BodyPace(idle=60, total=UNLIMITED, min_rate=0)),
    ("total", BodyPace(idle=UNLIMITED, total=60, min_rate=0)),
    ("rate", BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=1 << 20, grace=30)),
]


@pytest.mark.parametrize("pause", [0, 0.001], ids=["ready", "nearly ready"])
@series("pace", [pace for _, pace in SLOW_DISK])
def test_the_disks_slowness_is_not_the_clients(pace, pause):
    disk = FakeDisk()
    disk.seconds = {"create": 500, "write": 500}
    # Pieces so large that each one is written before the next is asked for.
    piece = bytes(600 * 1024)
    upload = run_upload(*[step for _ in range(3) for step in (pause, piece)], pace=pace, disk=disk)
    assert upload.lasted >= 2000
    assert upload.record.received == 3 * len(piece)


def test_between_two_slow_writes_the_client_has_its_own_time():
    disk = FakeDisk()
    disk.seconds = {"write": 500}
    piece = bytes(600 * 1024)
    upload = run_upload(piece, 59, piece, 61, piece, pace=IDLE, disk=disk, error=BodyIdleTimeout)
    assert upload.lasted == pytest.approx(500 + 59 + 500 + 60)


def test_the_nearest_limit_is_the_one_that_is_told():
    pace = BodyPace(idle=10, total=20, min_rate=1000, grace=30)
    run_upload(b"x", 100, pace=pace, error=BodyIdleTimeout)
    run_upload(*[step for _ in range(30) for step in (b"x", 1)], pace=pace, error=BodyTotalTimeout)
    pace = BodyPace(idle=50, total=60, min_rate=1000, grace=30)
    run_upload(b"x", 100, pace=pace, error=BodyTooSlow)


# -- the client's other faults --------------------------------------------------------------------


@series(
    ("declared", "script", "kept", "words"),
    [
        (6, [b"foo"], 3, "has 3 bytes, but 6 were declared"),
        (6, [], 0, "has 0 bytes, but 6 were declared"),
        (6, [b"foo", b"barx"], 3, "longer than the 6 bytes"),
        (0, [b"x"], 0, "longer than the 0 bytes"),
    ],
)
def test_another_size_than_declared(declared, script, kept, words):
    upload = run_upload(*script, declared=declared, error=SizeMismatch)
    assert words in upload.fault.detail
    assert upload.record.received == kept


def sha256_of(data):
    return BodyDigest([Declared("Content-Digest", "sha-256", "sha256", hashlib.sha256(data).digest())])


@series("script", [[], [b"foo"], [b"foobaz"], [b"foo", b"barx"], [b"f", b"oobas"], [bytes(MEMORY), b"x"]])
def test_another_digest_than_declared(script):
    upload = run_upload(*script, digest=sha256_of(b"foobar"), error=DigestMismatch)
    assert "did not arrive as it was sent" in upload.fault.detail
    assert upload.record.received == len(b"".join(script))


def test_a_size_that_is_wrong_is_told_first():
    """It says more of what went wrong."""
    upload = run_upload(b"foo", declared=6, digest=sha256_of(b"foobar"), error=SizeMismatch)
    assert "has 3 bytes" in upload.fault.detail


class Parts:
    """A server's offer to read the body: gives these pieces, and what has no room in the sink by itself."""

    waited = quiet = 0.0

    def __init__(self, pieces):
        self.pieces = pieces

    def __enter__(self):
        return self

    def __exit__(self, *_fault):
        return None

    async def fill(self, sink):
        while self.pieces:
            piece, left = self.pieces.pop(0), sink.room - sink.written
            sink.write([memoryview(piece)[:left]])
            if len(piece) > left:
                return not self.pieces, piece[left:]
        return True, b""


def test_what_came_before_a_pump_is_not_kept_while_it_reads():
    """A slow client's first 128 KiB would be held for as long as it sends."""
    told = []

    class Piece(bytes):
        def __del__(self):
            told.append("the piece is gone")

    class Pump(Parts):
        async def fill(self, sink):
            told.append("the pump reads")
            return await super().fill(sink)

    async def scene():
        upload = Upload(b"never received", pump=Pump([b"rest"]), admit=lambda size: size + 10)
        upload.here = [Piece(MEMORY + 1)]
        await upload.fill()
        assert upload.body.received == MEMORY + 5

    run_leaping(scene())
    assert told == ["the piece is gone", "the pump reads"]


@given(st.data())
def test_the_verdict_is_the_same_whichever_way_a_body_comes(data):
    """In memory, appended to a file, by a pump, and what had no room there: each byte once, in order."""
    sent = data.draw(st.binary(max_size=60))
    came = data.draw(st.just(sent) | mutated(sent))
    memory = data.draw(st.integers(0, 60))
    in_memory = [piece for piece in data.draw(cuts(came[:memory])) if piece]
    rest = [piece for piece in data.draw(cuts(came[memory:])) if piece]
    pump = Parts(rest[1:]) if rest and data.draw(st.booleans()) else None
    room = data.draw(st.integers(0, 5))
    run_upload(
        *in_memory,
        # The first piece that makes a file has the pump take over.
        *(rest if pump is None else [rest[0], b"never received"]),
        memory=memory,
        admit=lambda size: size + room,
        digest=sha256_of(sent),
        pump=pump,
        error=None if came == sent else DigestMismatch,
    )
    assert pump is None or not pump.pieces


@series("script", [[GONE], [b"foo", GONE], [b"foo", 1, b"", GONE]])
@series("declared", [None, 3, 6])
def test_gone_in_the_middle(script, declared):
    """Also where all that was declared has come: the end has not."""
    run_upload(*script, declared=declared, error=ClientGone)


def test_malformed():
    upload = run_upload(b"foo", BadFraming("A chunk size is malformed."), error=BadFraming)
    assert upload.fault.detail == "A chunk size is malformed."


def test_a_broken_connection_is_no_broken_disk():
    """Another server may raise where ours tells: the operator must not look for a fault of the spool."""
    upload = run_upload(b"foo", ConnectionResetError("reset by peer"), error=ClientGone)
    assert isinstance(upload.fault.__cause__, ConnectionResetError)


# -- our limits -----------------------------------------------------------------------------------


def test_not_admitted():
    def admit(size):
        if size > 5:
            raise BodyTooLarge("too large")

    upload = run_upload(b"abc", b"def", admit=admit, error=BodyTooLarge)
    assert upload.record.received == 3


@pytest.mark.parametrize("error", [DiskFull("full"), DiskError("broken")], ids=lambda error: error.code)
def test_no_file(error):
    disk = FakeDisk()
    disk.create_error = error
    run_upload(bytes(MEMORY + 1), disk=disk, error=type(error))


def test_a_full_disk():
    run_upload(bytes(MEMORY), bytes(MEMORY), disk=FakeDisk(capacity=150), error=DiskFull)


def test_a_disk_that_fills_up_at_the_end():
    run_upload(bytes(MEMORY + 1), bytes(MEMORY), disk=FakeDisk(capacity=150), error=DiskFull)


@series(
    ("sizes", "error"),
    [
        ([COUNTED_FROM], None),
        ([COUNTED_FROM - 1, 1], None),
        ([COUNTED_FROM + 1], UploadsFull),
        ([COUNTED_FROM, 1], UploadsFull),
    ],
)
def test_only_large_bodies_are_counted(sizes, error):
    upload = run_upload(*[bytes(size) for size in sizes], uploads=0, error=error)
    if error:
        assert upload.record.received <= COUNTED_FROM


def test_a_place_is_held_while_it_is_received():
    async def scene():
        go_on = asyncio.Event()
        upload = Upload(bytes(COUNTED_FROM), go_on, b"x", go_on, b"y")
        task = asyncio.ensure_future(upload.fill())
        await let_others_run()
        assert upload.gate.under_way == 0
        go_on.set()
        await let_others_run(2)
        await task
        assert upload.gate.under_way == 0
        await upload.body.close()

        upload = Upload(bytes(COUNTED_FROM + 1), asyncio.Event())
        task = asyncio.ensure_future(upload.fill())
        await let_others_run()
        assert upload.gate.under_way == 1
        task.cancel()
        await let_others_run()
        assert upload.gate.under_way == 0
        await upload.body.close()

    run_leaping(scene())


# -- cancellation ---------------------------------------------------------------------------------


@series("times", [1, 2])
@pytest.mark.parametrize("pace", [ANY_PACE, IDLE], ids=["no limits", "limits"])
def test_cancelled_while_waiting(pace, times):
    async def scene():
        upload = Upload(b"foo", asyncio.Event(), b"bar", pace=pace)
        task = asyncio.ensure_future(upload.fill())
        await let_others_run()
        for _ in range(times):
            task.cancel()
        await let_others_run()
        assert task.cancelled()
        await upload.body.close()

    run_leaping(scene())


def test_cancelled_while_the_disk_is_slow():
    async def scene():
        upload = Upload(bytes(MEMORY + 1), b"more")
        gate = upload.disk.hold("write")
        task = asyncio.ensure_future(upload.fill())
        await upload.disk.until("write")
        task.cancel()
        await let_others_run()
        assert not task.done()
        gate.set()
        await let_others_run()
        assert task.cancelled()
        await upload.body.close()
        assert upload.disk.open_files == 0

    run_leaping(scene())


def test_a_receive_that_takes_its_time_to_be_cancelled():
    """No task may stay behind that takes the next message for a body that is over."""

    async def scene():
        released = asyncio.Event()

        async def receive():
            try:
                await asyncio.Event().wait()
            finally:
                await released.wait()

        upload = Upload(pace=IDLE)
        upload.client.receive = receive
        task = asyncio.ensure_future(upload.fill())
        await let_others_run()
        for _ in range(2):
            task.cancel()
            await let_others_run()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upload.body.close()

    run_leaping(scene())


def test_families():
    for error in (DiskFull, DiskError, BodyTooLarge, UploadsFull):
        assert issubclass(error, LimitReached)


# -- what is here already -------------------------------------------------------------------------


@pytest.mark.parametrize("here", [[b"foobar"], [b"foo", b"bar"], [b""]], ids=["one", "two", "nothing"])
def test_a_body_that_is_here_takes_no_turn_of_the_loop(here):
    async def scene():
        upload = Upload(here=here, pace=IDLE)
        with pytest.raises(StopIteration):
            upload.fill().send(None)
        assert await upload.contents() == b"".join(here)
        assert upload.client.receives == 0
        assert upload.record.received == len(b"".join(here))
        await upload.body.close()

    run_leaping(scene())


def test_others_get_their_turn_however_much_is_here():
    async def scene():
        upload = Upload(here=[b"x"] * 9)
        filling = asyncio.ensure_future(upload.fill())
        left = []
        while not filling.done():
            await asyncio.sleep(0)
            left.append(len(upload.here))
        assert left == [7, 5, 3, 1, 0]
        await upload.body.close()

    run_leaping(scene())


def test_what_is_not_here_is_waited_for():
    upload = run_upload(10.0, b"bar", here=[b"foo"], pace=IDLE)
    assert (upload.data, upload.lasted) == (b"foobar", 10)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"declared": 5}, SizeMismatch),
        ({"declared": 7}, SizeMismatch),
        ({"here": [bytes(COUNTED_FROM + 1)], "uploads": 0}, UploadsFull),
    ],
    ids=["too long", "too short", "too many"],
)
def test_limits_hold_for_what_is_here(options, error):
    run_upload(error=error, **{"here": [b"foo", b"bar"], **options})


def test_a_client_is_given_its_time_anew_after_what_was_here():
    upload = run_upload(61.0, here=[b"foo"], pace=IDLE, error=BodyIdleTimeout)
    assert upload.lasted == 60


def test_a_look_that_fails_ends_the_pump_and_is_told():
    """Whatever it is: without looks a client would have no limit any more."""

    async def scene():
        filling = asyncio.get_running_loop().create_future()

        def judge():
            raise KeyError("a bug")

        look = Look(judge, filling)
        look.again_in(0.5)
        await asyncio.wait({filling})
        with pytest.raises(KeyError, match="a bug"):
            look.outcome()

    run_leaping(scene())
