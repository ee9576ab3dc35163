"""An answer's way to a client that is slower than its server: when it is spooled, and that all arrives."""

import asyncio
import contextlib

import pytest

from shim.asgi import Movement
from shim.errors import ClientTooSlow, DiskError, DiskFull, UpstreamClosed
from shim.observe.journal import Record
from shim.proxy.download import NEXT_ATTEMPT, Download
from shim.proxy.request import Answer
from shim.spool.budget import Budget
from shim.spool.store import LEAST_RESPONSE, SpoolOptions, Store
from shim.timing import UNLIMITED
from shim.wire.framing import UNTIL_CLOSE, BodyKind, Framing
from tests.fakes.client import FakeClient
from tests.fakes.disk import PLENTY, FakeDisk
from tests.fakes.loops import loop_time, run_leaping
from tests.support.series import series

MIB = 1 << 20
PIECE = MIB // 4


class Server:
    """An upstream's answer, piece by piece; an error or an event may stand among the pieces."""

    def __init__(self, *script, length=None, lends=(), pours=False):
        self.framing = UNTIL_CLOSE if length is None else Framing(BodyKind.LENGTH, length)
        self.is_complete = False
        self.is_closed = False
        self._script = list(script)
        self._lends = list(lends)
        self._pours = pours

    async def pieces(self):
        try:
            while self._script:
                step = self._script.pop(0)
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
            self.is_complete = True
        finally:
            self.is_closed = True

    async def lend(self, move, moved):
        """Each lending takes so many pieces, gives the client some of the bytes, and leaves the rest."""
        if not self._lends:
            return None
        pieces, given = self._lends.pop(0)
        data = b"".join(self._script.pop(0) for _ in range(pieces))
        self.is_complete = not self._script
        await move(data[:given])
        moved(given, 1.0)
        return Movement(len(data), data[given:])

    async def pour(self, sink):
        """Bytes to a sink until it is full, where that is offered."""
        if not self._pours:
            return None
        await asyncio.sleep(0)
        data = b"".join(self._script)[: sink.room]
        sink.write([memoryview(data)])
        self._script = [left] if (left := b"".join(self._script)[len(data) :]) else []
        self.is_complete = not self._script
        return len(data)


class Scene:
    """A download with all that it needs; ``client`` reads when it is told to."""

    def __init__(self, *, budget=UNLIMITED, most=1 << 30, moves=False, client=None, **disk):
        self.disk = FakeDisk(**disk)
        self.budget = Budget(budget)
        self.store = Store(self.disk, self.budget, SpoolOptions(memory_limit=1000, max_response=most))
        self.client = client or FakeClient()
        self.record = Record("req-1", "GET", "/", "192.0.2.7", 0.0)
        self.answer = Answer(self.client.send, self._move if moves else None)
        self.taken_at = self.ended_at = 0.0

    async def _move(self, data):
        await self.client.send({"type": "http.response.body", "body": data, "more_body": True})

    async def run(self, server):
        """The download from its begin to its end, noting when the server was free, and when the client."""
        started = loop_time()
        try:
            async with Download(self.answer, self.record, self.store, clock=loop_time) as download:
                await download.take(server)
                self.taken_at = loop_time() - started
                await download.finish()
                self.ended_at = loop_time() - started
        finally:
            assert server.is_closed
            assert self.budget.leased == self.disk.open_files == self.store.held == 0


def numbered(count):
    return [bytes([number % 251]) * PIECE for number in range(count)]


@pytest.mark.parametrize(("length", "pours"), [(8 * MIB, False), (8 * MIB, True), (None, False)])
def test_a_slow_client_frees_its_server(length, pours):
    async def scene():
        made = Scene()
        gate = made.client.stop_reading()
        asyncio.get_running_loop().call_later(1000, gate.set)
        pieces = numbered(32)
        await made.run(Server(*pieces, length=length, pours=pours))
        assert made.taken_at < 1
        assert made.ended_at == pytest.approx(1000)
        assert made.client.body == b"".join(pieces)
        assert made.client.is_answered
        assert made.record.sent == 8 * MIB

    run_leaping(scene())


@pytest.mark.parametrize("script", [numbered(32), [b"x"] * 3, []])
def test_a_client_that_keeps_up_costs_no_disk(script):
    async def scene():
        made = Scene()
        await made.run(Server(*script))
        assert made.client.body == b"".join(script)
        assert made.disk.files == []

    run_leaping(scene())


def test_a_slow_server_makes_no_client_slow():
    async def scene():
        made = Scene()
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(50, event.set)
        await made.run(Server(b"foo", event, b"bar"))
        assert made.client.body == b"foobar"
        assert made.disk.files == []

    run_leaping(scene())


@series(
    ("options", "server_waits"),
    [
        pytest.param({}, False, id="room"),
        pytest.param({"budget": LEAST_RESPONSE}, True, id="room for a part"),
        pytest.param({"budget": LEAST_RESPONSE - 1}, True, id="no room"),
        pytest.param({"most": 0}, True, id="not wanted"),
        pytest.param({"free": 100, "reserve": 100}, True, id="no free space"),
    ],
)
@series("pours", [False, True])
def test_without_room_the_server_waits(options, server_waits, pours):
    """Nothing is lost, and it is asked for room again; a part of the room is better than none."""

    async def scene():
        made = Scene(**options)
        gate = made.client.stop_reading()
        asyncio.get_running_loop().call_later(3 * NEXT_ATTEMPT, gate.set)
        pieces = numbered(32)
        await made.run(Server(*pieces, length=8 * MIB, pours=pours))
        assert (made.taken_at >= 3 * NEXT_ATTEMPT) is server_waits
        assert made.client.body == b"".join(pieces)

    run_leaping(scene())


class Slow(FakeClient):
    """Takes longer for each piece than the pause after an attempt."""

    async def send(self, message):
        await asyncio.sleep(3 * NEXT_ATTEMPT)
        await super().send(message)


def test_nothing_stays_of_attempts_that_found_no_room():
    """A long answer to a slow client makes one every few seconds."""

    async def scene():
        made = Scene(client=Slow(), budget=LEAST_RESPONSE - 1)
        overflow, entered, most = made.store.overflow, 0, 0

        @contextlib.asynccontextmanager
        async def counted(*arguments, **options):
            nonlocal entered, most
            async with overflow(*arguments, **options) as given:
                entered, most = entered + 1, max(most, entered + 1)
                attempts.append(given)
                try:
                    yield given
                finally:
                    entered -= 1

        attempts = []
        made.store.overflow = counted
        await made.run(Server(*numbered(32), length=8 * MIB))
        assert attempts[:3] == [None] * 3
        assert most == 1

    run_leaping(scene())


class SlowToTell(Server):
    """A server whose bytes are there to be read before the thread that took them says so."""

    async def pour(self, sink):
        taken = await super().pour(sink)
        await asyncio.sleep(1)
        return taken


def test_a_client_that_stands_still_has_not_caught_up():
    """It has been sent all that was spooled, up to the end of a file, and takes the last of it much later."""

    async def scene():
        made = Scene(most=4 * MIB)
        send, writes = made.client.send, []

        async def send_slowly(message):
            writes.append(len(message["body"]))
            if len(writes) == 1:
                await asyncio.sleep(0.5)
            elif sum(writes) == 3 * PIECE:
                await asyncio.sleep(1000)
            await send(message)

        made.answer = Answer(send_slowly)
        pieces = numbered(32)
        server = SlowToTell(*pieces, length=8 * MIB, pours=True)
        left = []
        asyncio.get_running_loop().call_later(500, lambda: left.append(sum(map(len, server._script))))
        await made.run(server)
        # As much was taken from the server as there is room for.
        assert left[0] < 5 * MIB
        assert made.client.body == b"".join(pieces)

    run_leaping(scene())


def test_a_client_that_has_caught_up_is_served_directly_again():
    """The spool is for the lag only: what comes after it costs no disk."""

    async def scene():
        made = Scene(budget=LEAST_RESPONSE)
        gate = made.client.stop_reading()
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_later(1, gate.set)
        loop.call_later(2, event.set)
        # A link of the chain is an eighth of the room, and a piece as long as it.
        await made.run(Server(*numbered(4), event, *numbered(100)))
        assert made.client.body == b"".join([*numbered(4), *numbered(100)])
        assert len(made.disk.files) < 10

    run_leaping(scene())


@pytest.mark.parametrize("lends", [[(3, 1000)], [(3, 0), (2, 2 * PIECE), (1, 7)], [(31, 100)]])
@pytest.mark.parametrize("is_slow", [False, True])
def test_what_a_faster_way_leaves_behind(lends, is_slow):
    async def scene():
        made = Scene(moves=True)
        if is_slow:
            gate = made.client.stop_reading()
            asyncio.get_running_loop().call_later(100, gate.set)
        pieces = numbered(32)
        await made.run(Server(*pieces, length=8 * MIB, lends=lends))
        assert made.client.body == b"".join(pieces)
        assert made.record.sent == 8 * MIB

    run_leaping(scene())


@series("before", [0, 3, 30])
@series("is_slow", [False, True])
def test_an_answer_that_breaks_off_has_no_end(before, is_slow):
    async def scene():
        made = Scene()
        if is_slow:
            made.client.stop_reading()
        with pytest.raises(UpstreamClosed):
            await made.run(Server(*numbered(before), UpstreamClosed("closed")))
        assert not made.client.is_answered

    run_leaping(scene())


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_client_that_fails(seconds):
    """While the server still sends, or long after it was done."""

    async def scene():
        made = Scene()
        gate = made.client.stop_reading()
        made.client.send_error = ClientTooSlow("too slow")
        asyncio.get_running_loop().call_later(seconds, gate.set)
        with pytest.raises(ClientTooSlow):
            await made.run(Server(*numbered(32), *([] if seconds else [asyncio.Event()])))

    run_leaping(scene())


@pytest.mark.parametrize("most", [1 << 30, 4 * MIB, 0])
def test_cancelled_at_any_moment(most):
    """The client left, say: files and lease are back, whatever was under way."""

    async def scene():
        for tenths in range(30):
            made = Scene(most=most)
            gate = made.client.stop_reading()
            asyncio.get_running_loop().call_later(1.5, gate.set)
            task = asyncio.ensure_future(made.run(Server(*numbered(32), length=8 * MIB)))
            await asyncio.sleep(tenths / 10)
            for _ in range(tenths % 3):
                await asyncio.sleep(0)
            task.cancel()
            # Once more, while it gives everything back.
            for _ in range(tenths % 4):
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or made.client.is_answered

    run_leaping(scene())


@pytest.mark.parametrize("fails", ["writing", "reading"])
def test_a_disk_that_fails_is_named_to_the_operator(fails):
    async def scene():
        made = Scene(capacity=MIB if fails == "writing" else PLENTY)
        made.disk.read_error = DiskError("The spool could not read a body back.")
        gate = made.client.stop_reading()
        asyncio.get_running_loop().call_later(1000, gate.set)
        with pytest.raises((DiskFull, DiskError)) as fault:
            await made.run(Server(*numbered(32)))
        assert str(made.disk.directory) in fault.value.for_operator

    run_leaping(scene())
