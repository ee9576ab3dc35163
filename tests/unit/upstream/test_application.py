"""Applications in this process: bodies and answers at their pace, every way of ending, nothing left behind.

Well-behaved applications run under the standard library's validator, so that the server is watched too.
"""

import asyncio
import gc
import hashlib
import io
import threading
import weakref

import pytest

from shim.errors import DiskError, ResponseTimeout, UpstreamRefused
from shim.observe.journal import Phase
from shim.upstream.answer_pipe import MOST_HELD
from shim.upstream.group import Upstream
from shim.upstream.message import BytesBody
from tests.fakes.application import (
    LAST_RESORT,
    MEMORY,
    PLAIN,
    SOON,
    Exchange,
    Gate,
    Iterable,
    Seen,
    Timeouts,
    answering,
    ask,
    ends,
    get_answer,
    request,
    rest,
    serving,
    upload,
    with_spool,
)
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, let_others_run, warm_loops

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
LARGE = bytes(range(256)) * 4096


@pytest.fixture(scope="module", autouse=True)
def loops_are_warm():
    warm_loops()


@pytest.fixture(autouse=True)
def no_descriptor_left(loops_are_warm):
    with none_left():
        yield


# -- the body ------------------------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("size", [0, 1, MEMORY, MEMORY + 1, len(LARGE)])
def test_the_body_is_read_to_its_end_and_no_further(run, tmp_path, size):
    def application(environ, start_response):
        body = environ["wsgi.input"]
        found.append(body.read(10) + b"".join(iter(lambda: body.read(4096), b"")))
        found.append(body.read(1))
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        return await ask(server, upload(await spool.body(LARGE[:size])))

    found = []
    made = ends(with_spool(tmp_path, scene), application, run=run)
    assert made.status == 204
    assert found == [LARGE[:size], b""]


@pytest.mark.parametrize("size", [MEMORY, len(LARGE)], ids=["memory", "file"])
def test_the_body_can_be_sought_and_read_by_lines(tmp_path, size):
    def application(environ, start_response):
        body = environ["wsgi.input"]
        assert body.seekable()
        assert body.readline() == LARGE[:11]
        assert next(iter(body)) == LARGE[11 : 256 + 11]
        assert body.seek(0, io.SEEK_END) == size
        body.seek(-3, io.SEEK_CUR)
        assert body.read() == LARGE[size - 3 : size]
        assert body.seek(5) == 5
        assert body.read(None) == LARGE[5:size]
        body.seek(0)
        assert b"".join(body.readlines()) == LARGE[:size]
        with pytest.raises(io.UnsupportedOperation):
            body.fileno() if size == MEMORY else body.write(b"x")
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        return await ask(server, upload(await spool.body(LARGE[:size])))

    # The validator's own wrapper hides seek.
    assert ends(with_spool(tmp_path, scene), application, valid=False).status == 204


def test_two_calls_read_one_file_from_its_start_each(tmp_path):
    """As when a request is sent again: the offset is each call's own."""

    def application(environ, start_response):
        body = environ["wsgi.input"]
        first = body.read(300_000)
        both.wait(LAST_RESORT)
        found.append(hashlib.sha512(first + body.read()).digest())
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        body = await spool.body(LARGE)
        await asyncio.gather(ask(server, upload(body)), ask(server, upload(body)))

    both, found = threading.Barrier(2), []
    ends(with_spool(tmp_path, scene), application, valid=False)
    assert found == [hashlib.sha512(LARGE).digest()] * 2


def test_an_application_that_outlives_its_request_never_reads_another_body(tmp_path):
    """The descriptor of the first body is closed, and its number given to the second."""

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/second":
            start_response("204 No Content", [])
            return []
        body = environ["wsgi.input"]
        body.read(10)
        gate.wait()
        try:
            found.set(body.read())
        except ConnectionError as error:
            found.set(error)
            raise
        raise AssertionError("it read on")

    async def scene(server, spool):
        first = await spool.body(LARGE)
        number = first.fileno()
        made = Exchange(server, upload(first))
        await gate.reached()
        await made.cancel()
        await first.close()
        second = await spool.body(LARGE[::-1])
        assert second.fileno() == number
        assert (await ask(server, request("PUT", b"/second", body=second))).status == 204
        gate.open()
        return await found.wait()

    gate, found = Gate(), Seen()
    assert isinstance(ends(with_spool(tmp_path, scene), application, valid=False), ConnectionError)


def test_what_a_finished_request_left_in_its_file_may_still_be_read(tmp_path):
    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
        yield b"ok"
        gate.wait()
        found.set(environ["wsgi.input"].read())

    async def scene(server, spool):
        body = await spool.body(LARGE)
        made = await ask(server, upload(body))
        await gate.reached()
        await body.close()
        gate.open()
        assert await found.wait() == LARGE
        return made

    gate, found = Gate(), Seen()
    assert ends(with_spool(tmp_path, scene), application, valid=False).is_complete


def test_a_body_that_cannot_be_opened():
    class Lost(BytesBody):
        def fileno(self):
            return 99999

    with pytest.raises(DiskError, match="could not open a body for the application: No such file"):
        get_answer(answering(b"x"), upload(Lost(b"abc")))


# -- pace ----------------------------------------------------------------------------------------------------


def test_a_slow_client_holds_the_application_back():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        for _ in range(100):
            given.append(1)
            yield piece

    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            taken = 0
            async for part in response.pieces():
                taken += len(part)
                # What the pipe holds, and what was taken out of it in one go.
                assert len(given) * len(piece) <= taken + 2 * (MOST_HELD + len(piece))
            return taken

    given, piece = [], bytes(64 * 1024)
    assert ends(scene, application) == 100 * len(piece)


def test_small_pieces_are_joined():
    count = 10_000

    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            # By now all of it may be there, for nobody has taken any.
            await gate.reached()
            gate.open()
            return [len(part) async for part in response.pieces()]

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        for _ in range(count):
            yield b"x"
        gate.wait()

    gate = Gate()
    sizes = ends(scene, application)
    assert sizes == [count]


def test_an_application_that_is_always_ahead_leaves_the_loop_to_others():
    async def scene(server):
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(other())
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            parts = [len(part) async for part in response.pieces()]
        beside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beside
        assert turns >= len(parts) / 8

    ends(scene, answering(*[bytes(64 * 1024)] * 200))


# -- timeouts ------------------------------------------------------------------------------------------------


def hanging(gate, *pieces):
    """An application that stops after ``pieces`` until the gate is open."""

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        yield from pieces
        gate.wait()
        yield b"late"

    return application


def fails_while_hanging(gate, application, timeouts):
    """What an exchange ends with whose application hangs; the application goes on only after that."""

    async def scene(server):
        made = Exchange(server, upload(BytesBody(b"abc")))
        with pytest.raises(ResponseTimeout) as raised:
            await made.task
        await gate.reached()
        # It is given up, not ended: its thread is occupied as long as it likes.
        assert server.inflight == 1
        gate.open()
        return raised.value, made

    return ends(scene, application, timeouts=timeouts)


@pytest.mark.parametrize("pieces", [[], [b"", b""]])
def test_no_answer_in_time(pieces):
    gate = Gate()
    error, made = fails_while_hanging(gate, hanging(gate, *pieces), Timeouts(head=SOON))
    assert made.status is None
    assert made.phases == [Phase.CONNECT, Phase.WAIT]
    assert error.detail == "The application gave no answer within 0.02 s."


def test_nothing_more_in_time():
    gate = Gate()
    error, made = fails_while_hanging(gate, hanging(gate, b"half"), Timeouts(idle=SOON))
    assert (made.status, made.is_complete) == (200, False)
    assert error.detail == "The application gave nothing more of its answer for 0.02 s."


def test_the_limit_follows_the_body():
    timeouts = Timeouts()
    get_answer(answering(b"x"), upload(BytesBody(b"abc")), timeouts=timeouts)
    assert timeouts._asked == [3, 3]


def test_all_threads_busy():
    gates = [Gate(), Gate()]

    def application(environ, start_response):
        start_response("200 OK", PLAIN)
        gates[int(environ["PATH_INFO"][1:])].wait()
        return [b"done"]

    async def scene(server):
        first, second = (Exchange(server, request(target=b"/%d" % number)) for number in (0, 1))
        for gate in gates:
            await gate.reached()
        server._timeouts = Timeouts(line=SOON)
        late = Exchange(server)
        with pytest.raises(ResponseTimeout) as raised:
            await late.task
        assert late.phases == [Phase.CONNECT]
        # It left the line: nothing of it is run later.
        assert server.inflight == 2
        for gate in gates:
            gate.open()
        await asyncio.gather(first.task, second.task)
        return raised.value.detail

    detail = ends(scene, application)
    assert detail == (
        "The application did not begin with the request within 0.02 s: all its 2 threads are busy."
    )


# -- order, and giving up ------------------------------------------------------------------------------------


def test_requests_are_begun_in_the_order_they_came():
    def application(environ, start_response):
        order.append(environ["PATH_INFO"])
        if len(order) == 1:
            gate.wait()
        start_response("204 No Content", [])
        return []

    async def scene(server):
        made = [Exchange(server, request(target=b"/%d" % number)) for number in range(10)]
        await gate.reached()
        await made[3].cancel()
        await made[7].cancel()
        gate.open()
        await asyncio.gather(*(one.task for number, one in enumerate(made) if number not in (3, 7)))

    gate, order = Gate(), []
    ends(scene, application, most=1)
    assert order == [f"/{number}" for number in range(10) if number not in (3, 7)]


def test_threads_are_started_as_they_are_needed():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        return [threading.current_thread().name.encode()]

    async def scene(server):
        names = set()
        for _ in range(5):
            names.add((await ask(server)).body)
            await rest(server)
        return names

    assert ends(scene, application, most=8) == {b"application-1"}


def test_giving_up_in_line_drops_the_body(tmp_path):
    def application(environ, start_response):
        paths.append(environ["PATH_INFO"])
        gate.wait()
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        first = Exchange(server)
        await gate.reached()
        with none_left():
            waiting = Exchange(server, upload(body := await spool.body(LARGE)))
            await let_others_run()
            assert server.inflight == 2
            await waiting.cancel()
            await body.close()
        assert server.inflight == 1
        gate.open()
        await first.task

    gate, paths = Gate(), []
    ends(with_spool(tmp_path, scene), application, most=1)
    assert paths == ["/"]


class Stages:
    """An application that stands still at each stage of a call, and tells how its end looked from inside."""

    def __init__(self):
        self.gates = {stage: Gate() for stage in ("called", "reading", "answering")}
        self.closed = Seen()

    def __call__(self, environ, start_response):
        self.gates["called"].wait()
        environ["wsgi.input"].read(10)
        self.gates["reading"].wait()
        environ["wsgi.input"].read()
        start_response("200 OK", PLAIN)
        return self

    def __iter__(self):
        yield b"x"
        self.gates["answering"].wait()
        while True:
            yield b"x" * 65536

    def close(self):
        self.closed.set()

    def open_until(self, stage):
        for name, gate in self.gates.items():
            if name == stage:
                return
            gate.open()


@on_both_loops
@pytest.mark.parametrize("stage", ["called", "reading", "answering"])
def test_giving_up_at_each_stage(run, tmp_path, stage, caplog):
    async def scene(server, spool):
        application.open_until(stage)
        body = await spool.body(LARGE)
        made = Exchange(server, upload(body))
        await application.gates[stage].reached()
        await made.cancel()
        await body.close()
        assert server.inflight == 1
        application.gates[stage].open()
        application.open_until(None)
        if stage == "answering":
            await application.closed.wait()
        await rest(server)

    application = Stages()
    ends(with_spool(tmp_path, scene), application, run=run, valid=False)
    # Where it was reading, it gets an error as from a socket; what it makes of that is in its own hands.
    assert application.closed.has_happened is (stage == "answering")
    assert "Traceback" not in caplog.text


def test_giving_up_while_the_application_waits_for_the_client():
    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None):
            await full.wait()
        await closed.wait()

    def piece():
        given.append(1)
        if len(given) * 65536 > MOST_HELD:
            full.set()
        return bytes(65536)

    given, full, closed = [], Seen(), Seen()
    ends(scene, Iterable(*[piece] * 100, on_close=closed.set), valid=False)
    assert len(given) <= MOST_HELD / 65536 + 1


def test_write_tells_that_nobody_is_there():
    def application(_environ, start_response):
        write = start_response("200 OK", PLAIN)
        gate.wait()
        with pytest.raises(ConnectionError) as raised:
            write(b"x")
        told.set(raised.value)
        return []

    async def scene(server):
        made = Exchange(server)
        await gate.reached()
        await made.cancel()
        gate.open()
        await told.wait()

    gate, told = Gate(), Seen()
    ends(scene, application, valid=False)


def test_a_loop_that_has_ended_does_not_matter_to_the_application():
    """At the end of the process: the thread goes on, and nobody listens any more."""

    async def begin(server):
        # What happens where a loop is stopped and closed with a request under way.
        task = asyncio.ensure_future(_hold(server))
        await gate.reached()
        loop.stop()
        return task

    async def _hold(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None):
            raise AssertionError("there is no answer yet")

    gate, done = Gate(), Seen()

    def application(_environ, start_response):
        gate.wait()
        start_response("200 OK", PLAIN)
        return Iterable(b"x", on_close=done.set)

    with serving(application, valid=False) as server:
        loop = asyncio.new_event_loop()
        task = loop.create_task(begin(server))
        loop.run_forever()
        gate.open()
        loop2 = asyncio.new_event_loop()
        loop2.run_until_complete(done.wait())
        loop2.run_until_complete(loop2.shutdown_default_executor())
        loop2.close()
        task.result().cancel()
        loop.run_until_complete(asyncio.gather(task.result(), return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


# -- threads -------------------------------------------------------------------------------------------------


def test_no_thread_to_be_had(monkeypatch, tmp_path):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    async def scene(server, spool):
        body = await spool.body(LARGE)
        with monkeypatch.context() as patched, none_left():
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(UpstreamRefused, match="can't start new thread"):
                await ask(server, upload(body))
        assert server.inflight == 0
        return await ask(server, upload(body))

    assert ends(with_spool(tmp_path, scene), answering(b"x"), valid=False).status == 200


def test_threads_do_not_keep_the_process():
    async def scene(server):
        return (await ask(server)).body

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        return [b"daemon" if threading.current_thread().daemon else b"no"]

    assert ends(scene, application) == b"daemon"


def test_after_close_it_serves_on():
    """Closing gives back what is kept, as for other servers; a control client does so at its end."""

    async def scene(server):
        upstream = Upstream("default", [server])
        bodies = []
        for _ in range(3):
            bodies.append((await ask(upstream)).body)
            await upstream.close()
        return bodies

    assert ends(scene, answering(b"x")) == [b"x"] * 3


def test_an_idle_thread_keeps_nothing_of_its_last_request():
    class Held:
        pass

    def application(environ, start_response):
        environ["held"] = held = Held()
        references.append(weakref.ref(held))
        start_response("200 OK", PLAIN)
        return [b"x"]

    async def scene(server):
        await ask(server)
        await rest(server)
        gc.collect()
        assert references[0]() is None

    references = []
    ends(scene, application, valid=False)


def test_it_describes_itself():
    async def scene(server):
        return repr(server)

    assert ends(scene, answering()) == (
        "<ApplicationServer wsgi:tests.made:application, 0 in flight, 2 threads>"
    )
