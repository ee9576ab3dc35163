"""The pump on real sockets and threads: every framing cut anywhere, every end, and every way of stopping."""

import asyncio
import os
import time

import pytest

from shim.errors import BadFraming, DiskError, DiskFull
from shim.job import Holder
from shim.poller import BUFFER, Poller
from shim.server.pump import LEAST_READ, MANY_PIECES, SLACK, Ended, Outcome
from shim.wire.chunked import LAST_CHUNK, ChunkedDecoder, LengthDecoder, encode_chunk
from tests.fakes.application import Gate
from tests.fakes.loops import REAL_LOOPS, let_others_run
from tests.fakes.payload import numbered
from tests.fakes.pumping import (
    FakeClock,
    FakeSink,
    Line,
    Pumping,
    cancelled,
    in_lane,
    pump_threads,
    pumping,
    waits,
)
from tests.support.series import series
from tests.unit.wire.test_chunked import ILLEGAL, LEGAL

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
MIB = 1024 * 1024
NEXT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PLENTY = 1 << 40
CUTS = {"whole": PLENTY, "bytes": 1, "sevens": 7}
in_pieces = pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, id=name, marks=pytest.mark.more if name != "whole" else ())
        for name, size in CUTS.items()
    ],
)


def pieces_of(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def pumped(decoder, pieces, *, rooms=(), tcp=False, finish=False):
    """Pump pieces, each read before the next is sent; gives the payload and the last outcome.

    ``rooms`` are those of the first sinks; what does not fit them is kept as the loop keeps it.
    """

    async def scene(poller):
        with Pumping(poller, decoder, tcp=tcp) as pump:
            sinks = [FakeSink(room) for room in rooms] + [FakeSink()]
            task = asyncio.ensure_future(fill(pump.intake, sinks))
            for piece in pieces:
                await pump.line.send(piece)
                while pump.line.unread and not task.done():
                    await asyncio.sleep(0)
            if finish:
                pump.line.finish()
            payload, outcome = await task
            return payload, outcome, pump.line.ours.recv(MIB) if pump.line.unread else b""

    return pumping(scene)


async def fill(intake, sinks):
    payload = b""
    for sink in sinks:
        outcome = await intake.run(sink)
        payload += sink.data + outcome.overflow
        if outcome.ended is not Ended.FULL:
            return payload, outcome
    raise AssertionError("the sinks were too few")


# -- framings -------------------------------------------------------------------------------------


@in_pieces
@series(("body", "payload"), LEGAL)
def test_legal_bodies(body, payload, size):
    got, outcome, unread = pumped(ChunkedDecoder(), pieces_of(body + NEXT, size))
    assert (got, outcome.ended) == (payload, Ended.WHOLE)
    # What came with the end is handed back, what came later stays in the socket.
    assert outcome.rest + unread == NEXT[: len(outcome.rest + unread)]
    if size == CUTS["whole"]:
        assert outcome.rest == NEXT


@in_pieces
@series("body", ILLEGAL)
def test_illegal_bodies(body, size):
    with pytest.raises(BadFraming):
        pumped(ChunkedDecoder(), pieces_of(body + NEXT, size))


@in_pieces
@pytest.mark.parametrize("body", [b"a", b"foobar", LAST_CHUNK, bytes(1000)], ids=len)
def test_a_known_length(body, size):
    got, outcome, unread = pumped(LengthDecoder(len(body)), pieces_of(body + NEXT, size))
    assert (got, outcome.ended) == (body, Ended.WHOLE)
    assert NEXT.startswith(outcome.rest + unread)


@pytest.mark.parametrize(
    ("chunk", "total"),
    [
        pytest.param(1, 50_000, id="50000 chunks of a byte"),
        pytest.param(24 * MIB, 24 * MIB, id="a chunk of 24 MiB"),
        pytest.param(MIB, 16 * MIB, id="chunks of 1 MiB"),
        pytest.param(65_537, 8 * MIB, id="chunks a byte over 64 KiB"),
    ],
)
def test_large_bodies(chunk, total):
    data = numbered(total)
    encoded = b"".join(map(encode_chunk, pieces_of(data, chunk))) + LAST_CHUNK

    async def scene(poller):
        with Pumping(poller, ChunkedDecoder()) as pump:
            sink = FakeSink()
            sending = asyncio.ensure_future(pump.line.send(encoded + NEXT))
            outcome = await pump.intake.run(sink)
            await sending
            assert sink.data == data
            assert NEXT.startswith(outcome.rest)
            assert max(sink.sizes) <= BUFFER
            return sink

    pumping(scene)


def test_as_much_is_read_as_the_client_sends():
    """Few bytes at a time for tiny chunks, for each of them is a slice; many for large ones."""

    async def scene(poller):
        with Pumping(poller, LengthDecoder(PLENTY)) as pump:
            task = pump.start(FakeSink())
            assert pump.intake._read_size == 2 * LEAST_READ
            await pump.line.send(bytes(1000))
            await pump.line.is_read()
            await waits(pump.intake)
            assert pump.intake._read_size == 2 * LEAST_READ
            assert await cancelled(task)
        intake = pump.intake
        for _ in range(10):
            intake._adapt(intake._read_size, 1)
        assert intake._read_size == BUFFER
        intake._adapt(BUFFER, MANY_PIECES + 1)
        assert intake._read_size == LEAST_READ

    pumping(scene)


# -- room -----------------------------------------------------------------------------------------


@series(
    ("room", "overflow"),
    [(0, 10), (1, 9), (9, 1), (10, 0), (11, 0)],
)
def test_a_body_that_ends_where_the_room_does(room, overflow):
    """All of it comes in one read, so its end is seen, with what the sink has no room for."""
    got, outcome, _ = pumped(ChunkedDecoder(), [b"a\r\n0123456789\r\n0\r\n\r\n" + NEXT], rooms=[room])
    assert got == b"0123456789"
    assert outcome == Outcome(Ended.WHOLE, b"0123456789"[10 - overflow :], NEXT)


@pytest.mark.parametrize("room", [0, 1, 10])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_no_more_is_read_than_the_room_and_a_little(room, beyond):
    data = numbered(room + SLACK + beyond)

    async def scene(poller):
        with Pumping(poller, LengthDecoder(len(data))) as pump:
            await pump.line.send(data)
            sink = FakeSink(room)
            outcome = await pump.intake.run(sink)
            ended = Ended.FULL if beyond > 0 else Ended.WHOLE
            assert outcome == Outcome(ended, data[room : room + SLACK])
            assert sink.is_finished == (ended is Ended.WHOLE)
            assert (sink.data, pump.line.unread) == (data[:room], max(0, beyond))

    pumping(scene)


def test_a_full_sink_whose_bodys_end_is_still_to_come():
    """It returns when the room is used up, and goes on with a sink that has none but sees the end."""

    async def scene(poller):
        with Pumping(poller, ChunkedDecoder()) as pump:
            await pump.line.send(b"3\r\nfoo\r\n")
            assert await pump.intake.run(FakeSink(3)) == Outcome(Ended.FULL)
            await pump.line.send(LAST_CHUNK + NEXT)
            assert await pump.intake.run(FakeSink(0)) == Outcome(Ended.WHOLE, b"", NEXT)

    pumping(scene)


def test_one_intake_fills_many_sinks():
    data = numbered(100_000)
    rooms = [0, 1, 4096, 0, 10, 65_536]
    got, outcome, _ = pumped(LengthDecoder(len(data)), [data], rooms=rooms)
    assert (got, outcome.ended) == (data, Ended.WHOLE)


def test_pieces_that_do_not_fit_are_kept_in_order():
    body = b"".join(map(encode_chunk, [b"ab", b"cd", b"ef", b"gh"]))
    for room in range(9):
        got, outcome, _ = pumped(ChunkedDecoder(), [body + LAST_CHUNK], rooms=[room])
        assert (got, outcome.overflow) == (b"abcdefgh", b"abcdefgh"[room:])


# -- the client leaves ----------------------------------------------------------------------------

UNFINISHED = series(
    ("decoder", "sent", "kept"),
    [
        pytest.param(lambda: LengthDecoder(6), b"", b"", id="length, nothing"),
        pytest.param(lambda: LengthDecoder(6), b"fooba", b"fooba", id="length, nearly all"),
        pytest.param(ChunkedDecoder, b"", b"", id="chunked, nothing"),
        pytest.param(ChunkedDecoder, b"6\r\nfoo", b"foo", id="in a chunk"),
        pytest.param(ChunkedDecoder, b"3\r\nfoo\r\n", b"foo", id="between chunks"),
        pytest.param(ChunkedDecoder, b"3\r\nfoo\r\n0\r\n", b"foo", id="before the last line"),
    ],
)


@UNFINISHED
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_the_client_closes(decoder, sent, kept, tcp):
    got, outcome, _ = pumped(decoder(), [sent] if sent else [], tcp=tcp, finish=True)
    assert (got, outcome) == (kept, Outcome(Ended.GONE))


@UNFINISHED
def test_the_client_resets(decoder, sent, kept):
    async def scene(poller):
        with Pumping(poller, decoder(), tcp=True) as pump:
            sink = FakeSink()
            task = pump.start(sink)
            if sent:
                await pump.line.send(sent)
                # A reset discards what nobody has read yet.
                while sink.written < len(kept):
                    await asyncio.sleep(0)
            pump.line.reset()
            assert await task == Outcome(Ended.GONE)
            assert sink.data == kept

    pumping(scene)


def test_cut_at_every_place_it_is_gone_and_never_whole():
    """In one pump for all of them: what a cut body leaves behind would stand in the next."""
    body = b"".join(map(encode_chunk, [b"foo", b"bar" * 7, b"foo"])) + b"0;a=b\r\nX: y\r\n\r\n"

    async def scene(poller):
        for place in range(len(body)):
            before = ChunkedDecoder().decode(memoryview(body)[:place]).payload
            with Pumping(poller, ChunkedDecoder()) as pump:
                sink = FakeSink()
                task = pump.start(sink)
                await pump.line.send(body[:place])
                pump.line.finish()
                assert await task == Outcome(Ended.GONE), place
                assert sink.data == b"".join(before)

    pumping(scene)


def test_a_whole_body_of_a_client_that_has_left_is_whole():
    got, outcome, _ = pumped(LengthDecoder(6), [b"foobar"], finish=True)
    assert (got, outcome) == (b"foobar", Outcome(Ended.WHOLE))


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [DiskFull("full"), DiskError("broken"), ZeroDivisionError("a bug")], ids=repr
)
def test_a_sink_that_fails(error):
    """Whatever it raises is raised on the loop, and the thread goes on serving others."""

    async def scene(poller):
        with Pumping(poller, LengthDecoder(6)) as pump, Pumping(poller, LengthDecoder(6)) as other:
            await pump.line.send(b"foobar")
            with pytest.raises(type(error)) as raised:
                await pump.intake.run(FakeSink(error=error))
            assert raised.value is error
            assert poller.active == 0
            await other.line.send(b"foobar")
            assert (await other.intake.run(FakeSink())).ended is Ended.WHOLE

    pumping(scene, threads=1)


# -- cancellation ---------------------------------------------------------------------------------

times = series("times", [1, 2])


@on_both_loops
@times
def test_cancelled_while_the_client_is_waited_for(run, times):
    async def scene(poller):
        with Pumping(poller, LengthDecoder(6)) as pump:
            sink = FakeSink()
            task = pump.start(sink)
            await pump.line.send(b"foo")
            await pump.line.is_read()
            await waits(pump.intake)
            assert await cancelled(task, times)
            assert poller.active == 0
            await pump.line.send(b"bar")
            assert (sink.data, pump.line.unread) == (b"foo", 3)

    pumping(scene, run=run)


def test_cancelled_before_it_has_begun():
    async def scene(poller):
        with Pumping(poller, LengthDecoder(6)) as pump:
            assert await cancelled(pump.start(FakeSink()))
            assert poller.active == 0
            assert pump_threads() == []

    pumping(scene)


@on_both_loops
@times
def test_cancelled_while_a_thread_writes(run, times):
    """It returns only when the thread has left the sink, however often it is cancelled."""

    async def scene(poller):
        gate = Gate()
        with Pumping(poller, LengthDecoder(6)) as pump:
            sink = FakeSink(gate=gate)
            task = pump.start(sink)
            await pump.line.send(b"foo")
            await gate.reached()
            for _ in range(times):
                task.cancel()
                await let_others_run()
                assert not task.done(), "a thread still writes"
            gate.open()
            assert await cancelled(task)
            assert poller.active == 0
            assert sink.data == b"foo"
            # Nobody reads any more.
            await pump.line.send(b"bar")
            assert pump.line.unread == 3

    pumping(scene, run=run)


def test_cancelled_while_a_thread_fails():
    async def scene(poller):
        gate = Gate()
        with Pumping(poller, LengthDecoder(6)) as pump:
            task = pump.start(FakeSink(gate=gate, error=DiskFull("full")))
            await pump.line.send(b"foo")
            await gate.reached()
            task.cancel()
            await let_others_run()
            gate.open()
            assert await cancelled(task)

    pumping(scene)


@on_both_loops
@times
@pytest.mark.parametrize("end", [b"bar", b""], ids=["whole", "gone"])
def test_cancelled_between_the_threads_return_and_the_loops_turn(run, times, end):
    async def scene(poller):
        with Pumping(poller, LengthDecoder(3)) as pump:
            task = pump.start(FakeSink())
            await waits(pump.intake)
            # From here on the loop takes no turn until the thread has returned the socket.
            if end:
                pump.line.client.send(end)
            else:
                pump.line.finish()
            while pump.intake._holder is not Holder.LOOP:
                time.sleep(0)  # noqa: ASYNC251 - it is the loop that must stand still
            assert await cancelled(task, times)
            assert poller.active == 0

    pumping(scene, run=run)


@on_both_loops
def test_cancelled_just_as_bytes_come(run):
    """Wherever it strikes: each byte is in the sink or still in the socket, and none in both."""
    data = numbered(50_000)

    async def scene(poller):
        loop = asyncio.get_running_loop()
        outcomes = set()
        for turn in range(300):
            with Pumping(poller, LengthDecoder(PLENTY)) as pump:
                sink = FakeSink()
                task = pump.start(sink)
                sending = loop.run_in_executor(None, send_in_parts, pump.line.client, data)
                await let_others_run(turn % 30)
                assert await cancelled(task, 1 + turn % 2)
                assert poller.active == 0
                await sending
                left = pump.line.ours.recv(len(data)) if pump.line.unread else b""
                assert bytes(sink.data) + left == data
                outcomes.add((bool(sink.data), bool(left)))
        return outcomes

    assert pumping(scene, run=run)


def send_in_parts(connection, data):
    for piece in pieces_of(data, 5000):
        connection.send(piece)


# -- descriptors ----------------------------------------------------------------------------------


def test_only_its_own_descriptor_is_closed():
    async def scene(poller):
        with Line() as line:
            pump = Pumping(poller, LengthDecoder(6))
            with pump:
                assert pump.intake._descriptor != pump.line.ours.fileno()
                pump.intake.close()
                os.fstat(pump.line.ours.fileno())
                with pytest.raises(OSError, match="Bad file descriptor"):
                    os.fstat(pump.intake._descriptor)
                pump.intake._descriptor = os.dup(line.ours.fileno())

    pumping(scene)


def test_the_owner_may_close_its_socket_while_the_pump_reads():
    """The number does not become somebody else's: the pump has a descriptor of its own."""

    async def scene(poller):
        with Pumping(poller, LengthDecoder(6)) as pump:
            sink = FakeSink()
            task = pump.start(sink)
            await pump.line.send(b"foo")
            await pump.line.is_read()
            pump.line.ours.close()
            await pump.line.send(b"bar")
            assert (await task).ended is Ended.WHOLE
            assert sink.data == b"foobar"

    pumping(scene)


@pytest.mark.parametrize("how", ["cancelled", "whole", "failed"])
def test_a_descriptor_used_again_is_another_body(how):
    """The first body's socket is still open, as a connection's is, and goes on bringing bytes."""

    async def scene(poller):
        with Line() as first, Line() as second:
            before = Pumping(poller, LengthDecoder(3), line=first)
            task = before.start(FakeSink(error=DiskFull("full") if how == "failed" else None))
            await waits(before.intake)
            if how == "cancelled":
                assert await cancelled(task)
            else:
                await first.send(b"foo")
                await asyncio.wait([task])
                assert isinstance(task.exception(), DiskFull) == (how == "failed")
            before.intake.close()
            after = Pumping(poller, LengthDecoder(6), line=second)
            assert after.intake._descriptor == before.intake._descriptor
            sink = FakeSink()
            task = after.start(sink)
            await first.send(b"XXX")
            await second.send(b"foo")
            await second.is_read()
            await first.send(b"XXX")
            await second.send(b"bar")
            assert (await task).ended is Ended.WHOLE
            assert (sink.data, first.unread) == (b"foobar", 6)
            after.intake.close()

    pumping(scene)


@on_both_loops
def test_many_short_intakes_on_few_descriptors_never_mix(run):
    """Opened, cancelled and closed in quick succession, five at a time; each brings bytes of its own kind."""

    async def one(poller, number, numbers):
        kind = bytes([number % 256])
        with Pumping(poller, LengthDecoder(3000)) as pump:
            numbers.append(pump.intake._descriptor)
            sink = FakeSink()
            task = pump.start(sink)
            for _ in range(number % 4):
                pump.line.client.send(kind * 1000)
                await let_others_run(number % 3)
            if number % 4 == 3:
                assert (await task).ended is Ended.WHOLE
                assert sink.data == kind * 3000
                return
            await let_others_run(number % 7)
            if number % 5 == 0:
                pump.line.finish()
            await cancelled(task)
            assert sink.data == kind * sink.written
            assert sink.written + pump.line.unread == number % 4 * 1000

    async def scene(poller):
        numbers = []
        for start in range(0, 600, 5):
            await asyncio.gather(*(one(poller, start + number, numbers) for number in range(5)))
        assert len(numbers) == 600
        assert len(set(numbers)) < 30

    pumping(scene, run=run)


def test_a_turn_for_nothing_does_no_harm():
    """What a thread was told may be of a socket that had the same number before."""

    async def scene(poller):
        with Pumping(poller, LengthDecoder(6)) as pump:
            buffer = memoryview(bytearray(BUFFER))
            pump.intake.step(buffer)
            assert pump.intake._holder is Holder.LOOP
            sink = FakeSink()
            task = pump.start(sink)
            await waits(pump.intake)
            await asyncio.to_thread(pump.intake.step, buffer)
            assert pump.intake._holder is Holder.EPOLL
            await pump.line.send(b"foobar")
            assert (await task).ended is Ended.WHOLE
            pump.intake.step(buffer)
            assert pump.intake._holder is Holder.LOOP

    pumping(scene)


# -- many bodies ----------------------------------------------------------------------------------


def test_a_stalled_sink_stops_no_other_body():
    async def scene(poller):
        gate = Gate()
        with Pumping(poller, LengthDecoder(6)) as stalled:
            task = stalled.start(FakeSink(gate=gate))
            await stalled.line.send(b"foobar")
            await gate.reached()
            for number in range(20):
                with Pumping(poller, LengthDecoder(MIB)) as pump:
                    sink = FakeSink()
                    sending = asyncio.ensure_future(pump.line.send(bytes([number]) * MIB))
                    assert (await pump.intake.run(sink)).ended is Ended.WHOLE
                    await sending
                    assert sink.data == bytes([number]) * MIB
            assert not task.done()
            gate.open()
            assert (await task).ended is Ended.WHOLE

    pumping(scene, threads=2)


def test_more_bodies_than_threads():
    """While every thread is stalled the others wait; afterwards all of them come to their end."""

    async def scene(poller):
        gates = [Gate(), Gate()]
        stalled = [Pumping(poller, LengthDecoder(6)) for _ in gates]
        others = [Pumping(poller, LengthDecoder(6)) for _ in range(20)]
        tasks = []
        for pump, gate in zip(stalled, gates, strict=True):
            tasks.append(pump.start(FakeSink(gate=gate)))
            await pump.line.send(b"foobar")
            await gate.reached()
        sinks = [FakeSink() for _ in others]
        for pump, sink in zip(others, sinks, strict=True):
            tasks.append(pump.start(sink))
            await pump.line.send(b"foo")
        await let_others_run()
        assert poller.active == 22
        assert not any(sink.data for sink in sinks)
        gates[0].open()
        for pump, sink in zip(others, sinks, strict=True):
            await pump.line.send(b"bar")
            while sink.written < 6:
                await asyncio.sleep(0)
        assert not tasks[1].done()
        gates[1].open()
        assert {(await task).ended for task in tasks} == {Ended.WHOLE}
        for pump in [*stalled, *others]:
            pump.__exit__()

    pumping(scene, threads=2)


def test_two_loops_do_not_share_an_intakes_end():
    """Each intake tells the loop that it was made on; a poller serves whoever asks."""

    def elsewhere(poller):
        async def scene():
            with Pumping(poller, LengthDecoder(3)) as pump:
                await pump.line.send(b"foo")
                assert (await pump.intake.run(FakeSink())).ended is Ended.WHOLE

        asyncio.run(scene())

    async def scene(poller):
        with Pumping(poller, LengthDecoder(3)) as pump:
            task = pump.start(FakeSink())
            await asyncio.to_thread(elsewhere, poller)
            assert not task.done()
            await pump.line.send(b"foo")
            assert (await task).ended is Ended.WHOLE

    pumping(scene)


# -- time -----------------------------------------------------------------------------------------


def test_the_clients_time_and_the_disks():
    async def scene(poller):
        gate = Gate()
        with Pumping(poller, ChunkedDecoder()) as pump:
            intake, clock = pump.intake, poller.clock

            def passes(seconds):
                clock.now += seconds
                return intake.waited, intake.quiet

            assert passes(1000) == (0, 0), "nobody waits yet"
            task = pump.start(FakeSink(gate=gate))
            await waits(intake)
            assert passes(5) == (5, 5)
            await pump.line.send(b"3\r\nfoo\r\n")
            await gate.reached()
            assert (intake.waited, intake.quiet) == (5, 0), "bytes have come"
            assert passes(100) == (5, 0), "the disk's time is not the client's"
            gate.open()
            await waits(intake)
            assert passes(3) == (8, 3)
            # Lines without payload are no sign of life.
            for byte in b"3;a":
                await pump.line.send(bytes([byte]))
                await pump.line.is_read()
                await waits(intake)
                passes(1)
            assert (intake.waited, intake.quiet) == (11, 6)
            await pump.line.send(b"\r\nb")
            await pump.line.is_read()
            await waits(intake)
            assert (intake.waited, intake.quiet) == (11, 0)
            passes(4)
            await pump.line.send(b"ar\r\n" + LAST_CHUNK)
            assert (await task).ended is Ended.WHOLE
            assert passes(1000) == (15, 0), "it is over"

    pumping(scene, clock=FakeClock())


def test_a_slow_client_is_not_left_alone_while_a_reader_waits():
    """The reader is told of each write, and waits again only when the loop has its turn."""

    class Forgetful(FakeSink):
        def write(self, pieces):
            super().write(pieces)
            self.is_awaited = False

    async def scene(poller):
        sink = Forgetful()
        with Pumping(poller, ChunkedDecoder()) as pump:
            task = pump.start(sink)
            for _ in range(2):
                await waits(pump.intake)
                poller.clock.now += 4
                sink.is_awaited = True
                await pump.line.send(b"3\r\nfoo\r\n")
                await pump.line.is_read()
                await waits(pump.intake)
            await pump.line.send(LAST_CHUNK)
            assert (await task).ended is Ended.WHOLE
            assert sink.sizes == [3, 3]

    pumping(scene, clock=FakeClock())


def test_a_slow_client_is_left_alone_for_a_while():
    """What comes meanwhile is one turn's, and its silence is not judged before that turn."""

    async def scene(poller):
        sink = FakeSink(is_awaited=False)
        with Pumping(poller, ChunkedDecoder()) as pump:
            intake, clock = pump.intake, poller.clock
            task = pump.start(sink)
            await waits(intake)
            clock.now += 4
            await pump.line.send(b"3\r\nfoo\r\n")
            await in_lane(intake)
            for _ in range(3):
                await pump.line.send(b"3\r\nbar\r\n")
            clock.now += 0.19  # of the 0.2 that a twentieth is
            assert (intake.waited, intake.quiet, sink.sizes) == (4, 0, [3])
            clock.now += 1
            await pump.line.is_read()
            assert intake.waited == pytest.approx(5.19)
            # It may be left alone once more, and our clock must not go on before it knows until when.
            while intake._holder is Holder.THREAD:
                await asyncio.sleep(0)
            await pump.line.send(LAST_CHUNK)
            clock.now += 1
            assert (await task).ended is Ended.WHOLE
            assert sink.sizes == [3, 9]

    pumping(scene, clock=FakeClock())


def test_waiting_goes_on_over_many_sinks():
    """What the loop does between two sinks is not the client's time, and its silence goes on."""

    async def scene(poller):
        with Pumping(poller, ChunkedDecoder()) as pump:
            clock = poller.clock
            await pump.line.send(b"3\r\nfoo\r\n")
            assert (await pump.intake.run(FakeSink(3))).ended is Ended.FULL
            clock.now += 50
            assert (pump.intake.waited, pump.intake.quiet) == (0, 0)
            task = pump.start(FakeSink())
            await waits(pump.intake)
            clock.now += 7
            assert (pump.intake.waited, pump.intake.quiet) == (7, 7)
            assert await cancelled(task)
            clock.now += 50
            assert pump.intake.quiet == pump.intake.waited

    pumping(scene, clock=FakeClock())


# -- the poller's own life ------------------------------------------------------------------------


def test_threads_start_with_the_first_body_and_end_with_the_poller():
    async def scene(poller):
        assert pump_threads() == []
        with Pumping(poller, LengthDecoder(3)) as pump:
            task = pump.start(FakeSink())
            await waits(pump.intake)
            assert len(pump_threads()) == 4, "and one that watches them"
            assert repr(poller) == "<Poller pump: 3 threads, 1 sockets>"
            assert repr(pump.intake) == f"<Intake {pump.intake._descriptor}, with the epoll>"
            with pytest.raises(AssertionError, match="still being served"):
                poller.close()
            await pump.line.send(b"foo")
            await task
        poller.close()
        assert pump_threads() == []
        # It may be used again.
        with Pumping(poller, LengthDecoder(3)) as pump:
            await pump.line.send(b"foo")
            assert (await pump.intake.run(FakeSink())).ended is Ended.WHOLE

    pumping(scene, threads=3)


def test_a_poller_that_was_never_used_closes():
    Poller().close()


def test_a_socket_cannot_be_closed_while_a_thread_works():
    async def scene(poller):
        gate = Gate()
        with Pumping(poller, LengthDecoder(3)) as pump:
            task = pump.start(FakeSink(gate=gate))
            await pump.line.send(b"foo")
            await gate.reached()
            with pytest.raises(AssertionError, match="still works"):
                pump.intake.close()
            gate.open()
            await task

    pumping(scene)
