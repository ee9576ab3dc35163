"""Real sockets on the loopback interface, on both loops: every way in which a server is not there or goes.

The server's end is a plain socket in the test's hand, so that each thing happens when the test says so.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct

import pytest

from shim.errors import ConnectTimeout, NoDescriptor, SendTimeout, UpstreamClosed, UpstreamRefused
from shim.upstream.address import parse_upstream
from shim.upstream.network import connect
from shim.upstream.plain_stream import READS_IN_A_ROW, SocketStream
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, let_others_run, loop_time, run, run_leaping, warm_loops

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
on_both_families = pytest.mark.parametrize("kind", ["tcp", "unix"])
# More than the buffers of both ends hold.
LARGE = {"tcp": 16 * 1024 * 1024, "unix": 2 * 1024 * 1024}


@pytest.fixture(scope="module", autouse=True)
def loops_are_warm():
    warm_loops()


@pytest.fixture(autouse=True)
def no_descriptor_left(loops_are_warm):
    with none_left():
        yield


# -- servers --------------------------------------------------------------------------------------


class Listening:
    """A listening socket and the URL that leads to it."""

    def __init__(self, kind, folder, backlog=16):
        if kind == "unix":
            path = folder / "server.sock"
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(path))
            self.address = parse_upstream(f"http+unix://{path}")
        elif kind == "v6":
            self.socket = socket.create_server(("::1", 0), family=socket.AF_INET6)
            self.address = parse_upstream(f"http://[::1]:{self.socket.getsockname()[1]}")
        else:
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            host = "localhost" if kind == "name" else "127.0.0.1"
            self.address = parse_upstream(f"http://{host}:{self.socket.getsockname()[1]}")
        self.socket.listen(backlog)
        self.socket.setblocking(False)

    def accept(self):
        """The server's end of the next connection."""
        accepted, _ = self.socket.accept()
        accepted.setblocking(False)
        return accepted

    def close(self):
        self.socket.close()


@pytest.fixture
def listening(tmp_path):
    opened = []

    def open_one(kind, **options):
        opened.append(Listening(kind, tmp_path, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@contextlib.asynccontextmanager
async def connected(server):
    """Both ends of a connection: the stream, and the server's socket."""
    stream = await connect(server.address, 5)
    peer = server.accept()
    try:
        yield stream, peer
    finally:
        stream.close()
        peer.close()


def reset(peer):
    """Close so that the other end gets a RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def take(peer):
    """What has come to the server, without waiting."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := peer.recv(1 << 20):
            data += part
    return data


async def take_all(peer, size):
    data = b""
    while len(data) < size:
        data += await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
    return data


# -- connecting -----------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("kind", ["tcp", "unix", "name", "v6"])
def test_there_and_back(run, kind, listening):
    if kind == "v6" and not has_v6():
        pytest.skip("this machine has no IPv6 loopback")
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, peer):
            await stream.write(b"question", 5)
            assert take(peer) == b"question"
            peer.send(b"answer")
            assert await stream.read(3) == b"ans"
            assert await stream.read(100) == b"wer"
            peer.close()
            assert await stream.read(100) == b""
            assert await stream.read(100) == b""

    run(scene())


def has_v6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@on_both_loops
def test_small_packets_are_not_held_back(run, listening):
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, _peer):
            assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(scene())


async def check_refused(address, words):
    with pytest.raises(UpstreamRefused) as fault:
        await connect(address, 5)
    assert str(address) in fault.value.for_operator
    assert words in fault.value.for_operator
    # Where the servers are is nobody's business outside.
    assert str(address) not in fault.value.detail
    assert words in fault.value.detail


@on_both_loops
def test_nobody_listens(run):
    # Bound but not listening: the port is ours, so nobody else can begin to listen on it.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = parse_upstream(f"http://127.0.0.1:{bound.getsockname()[1]}")
        run(check_refused(address, "Connection refused"))


@on_both_loops
def test_no_socket(run, tmp_path):
    missing = parse_upstream(f"uwsgi+unix://{tmp_path}/missing.sock")
    run(check_refused(missing, "No such file or directory"))


@on_both_loops
def test_a_socket_left_behind(run, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    run(check_refused(parse_upstream(f"http+unix://{path}"), "Connection refused"))


@on_both_loops
def test_a_file_that_is_no_socket(run, tmp_path):
    path = tmp_path / "file.sock"
    path.write_text("")
    run(check_refused(parse_upstream(f"http+unix://{path}"), "Connection refused"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_no_descriptor_for_it(monkeypatch, number):
    """That is no word of the server's, and the operator is told what to do."""

    async def refuse(_path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shim.upstream.network.connect_unix", refuse)
    with pytest.raises(NoDescriptor) as fault:
        run(connect(parse_upstream("http+unix:///a.sock"), 5))
    assert fault.value.for_operator == "No connection to http+unix:///a.sock: raise the limit of open files."
    assert "The proxy has no descriptor left" in fault.value.detail


@on_both_loops
@pytest.mark.parametrize("host", ["a..b", "a" * 64], ids=["an empty label", "a long label"])
def test_a_name_that_no_resolver_takes(run, host):
    run(check_refused(parse_upstream(f"http://{host}:80"), "idna"))


def test_a_name_that_is_not_known(monkeypatch):
    def look_up(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    run(check_refused(parse_upstream("http://glance.invalid:80"), "Name or service not known"))


def test_a_name_with_several_addresses(monkeypatch, listening):
    server = listening("tcp")
    good = server.socket.getsockname()
    found = []

    def look_up(*_arguments, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    address = parse_upstream("http://glance.example:80")

    async def scene(bad):
        found[:] = [bad, good]
        stream = await connect(address, 5)
        server.accept().close()
        stream.close()
        found[:] = [bad, bad]
        await check_refused(address, "Connection refused")
        found.clear()
        await check_refused(address, "has no address")

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        run(scene(bound.getsockname()))


def fill_queue(server):
    """Connect until the kernel takes no more; the connections that fill the queue."""
    waiting = []
    while True:
        client = socket.socket(server.socket.family)
        client.setblocking(False)
        waiting.append(client)
        error = client.connect_ex(server.socket.getsockname())
        if error == errno.EAGAIN:
            return waiting
        if error == errno.EINPROGRESS and len(waiting) > 8:
            # Beyond backlog + 1 the kernel drops what asks for a TCP connection.
            return waiting


@on_both_loops
def test_a_full_queue_of_a_unix_socket_is_waited_for(run, listening):
    server = listening("unix", backlog=1)

    async def scene():
        waiting = fill_queue(server)
        connecting = asyncio.ensure_future(connect(server.address, 5))
        await asyncio.sleep(0.05)
        assert not connecting.done()
        accepted = [server.accept() for _ in range(2)]
        stream = await connecting
        stream.close()
        for one in [*waiting, *accepted]:
            one.close()

    run(scene())


@on_both_loops
@on_both_families
def test_a_full_queue_that_stays_full(run, kind, listening):
    server = listening(kind, backlog=1)

    async def scene():
        waiting = fill_queue(server)
        with pytest.raises(ConnectTimeout, match=r"within 0\.1 s") as fault:
            await connect(server.address, 0.1)
        assert str(server.address) in fault.value.for_operator
        assert str(server.address) not in fault.value.detail
        for one in waiting:
            one.close()

    run(scene())


def test_the_kernel_gives_up_first(monkeypatch):
    async def give_up(*_arguments):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr("shim.upstream.network.connect_tcp", give_up)
    with pytest.raises(ConnectTimeout):
        run(connect(parse_upstream("http://glance:80"), 5))


@on_both_loops
@on_both_families
def test_a_cancelled_connect_leaves_nothing(run, kind, listening):
    server = listening(kind, backlog=1)

    async def scene():
        waiting = fill_queue(server)
        with none_left():
            connecting = asyncio.ensure_future(connect(server.address, 5))
            await asyncio.sleep(0.05)
            assert not connecting.done()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        for one in waiting:
            one.close()

    run(scene())


# -- reading --------------------------------------------------------------------------------------


@on_both_loops
@on_both_families
def test_a_read_waits(run, kind, listening):
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, peer):
            for data in (b"one", b"two"):
                reading = asyncio.ensure_future(stream.read(100))
                await let_others_run()
                assert not reading.done()
                peer.send(data)
                assert await reading == data

    run(scene())


@on_both_loops
@on_both_families
def test_a_server_that_is_always_ahead_keeps_nobody_waiting(run, kind, listening):
    """Another request, or the news that this one's client has gone, gets its turn between reads."""
    server = listening(kind)

    async def count(turns):
        while True:
            await asyncio.sleep(0)
            turns.append(True)

    async def scene():
        async with connected(server) as (stream, peer):
            peer.send(bytes(1000))
            turns = []
            counting = asyncio.ensure_future(count(turns))
            for _ in range(1000):
                assert await stream.read(1) == b"\0"
            assert len(turns) >= 900 / READS_IN_A_ROW
            counting.cancel()
            await let_others_run()

    run(scene())


@on_both_loops
def test_a_reset_while_reading(run, listening):
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, peer):
            reading = asyncio.ensure_future(stream.read(100))
            await let_others_run()
            reset(peer)
            with pytest.raises(UpstreamClosed, match="Connection reset by peer"):
                await reading

    run(scene())


@on_both_loops
def test_what_came_before_a_reset_is_readable(run, listening):
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, peer):
            await stream.write(b"never read", 5)
            peer.send(b"early answer")
            peer.close()  # with bytes unread: a reset
            await asyncio.sleep(0.01)
            assert await stream.read(100) == b"early answer"
            with pytest.raises(UpstreamClosed):
                await stream.read(100)

    run(scene())


class Broken:
    """A socket whose calls fail as the kernel's do when a peer has vanished."""

    def __init__(self, connection, number):
        self._connection = connection
        self._number = number

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def recv(self, *_arguments):
        raise OSError(self._number, os.strerror(self._number))

    send = recv


@on_both_loops
@pytest.mark.parametrize(
    "number",
    [errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ECONNRESET, errno.EPIPE],
    ids=errno.errorcode.get,
)
def test_a_peer_that_vanished(run, number, listening):
    """ETIMEDOUT is a TimeoutError to Python, and yet nobody's deadline."""
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, _peer):
            stream._socket = Broken(stream._socket, number)
            for call in (stream.read(10), stream.write(b"x", 5)):
                with pytest.raises(UpstreamClosed, match=os.strerror(number)):
                    await call

    run(scene())


# -- writing --------------------------------------------------------------------------------------


@on_both_loops
@on_both_families
def test_a_large_write_waits_for_its_reader(run, kind, listening):
    server = listening(kind)
    size = LARGE[kind]
    data = os.urandom(1024) * (size // 1024)

    async def scene():
        async with connected(server) as (stream, peer):
            writing = asyncio.ensure_future(stream.write(data, 5))
            await asyncio.sleep(0.01)
            assert not writing.done()
            assert await take_all(peer, size) == data
            await writing

    run(scene())


@on_both_loops
@on_both_families
def test_no_progress(run, kind, listening):
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, _peer):
            with pytest.raises(SendTimeout, match=r"took no byte of the request for 0\.05 s"):
                await stream.write(bytes(LARGE[kind]), 0.05)

    run(scene())


def test_slow_progress_is_progress(listening):
    """On time that leaps: what is sent over a unix socket is there at once."""
    server = listening("unix")

    async def scene():
        async with connected(server) as (stream, peer):
            started = loop_time()
            writing = asyncio.ensure_future(stream.write(bytes(1 << 24), 60))
            while not writing.done():
                await asyncio.sleep(59)
                take(peer)
            await writing
            assert loop_time() - started > 180
            started = loop_time()
            with pytest.raises(SendTimeout):
                await stream.write(bytes(1 << 24), 60)
            assert loop_time() - started == pytest.approx(60)

    run_leaping(scene())


@on_both_loops
@on_both_families
def test_a_broken_pipe(run, kind, listening):
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, peer):
            writing = asyncio.ensure_future(stream.write(bytes(LARGE[kind]), 5))
            await asyncio.sleep(0.01)
            reset(peer)
            with pytest.raises(UpstreamClosed):
                await writing
            with pytest.raises(UpstreamClosed):
                await stream.write(b"x", 5)

    run(scene())


@on_both_loops
@on_both_families
def test_reading_and_writing_at_the_same_time(run, kind, listening):
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, peer):
            reading = asyncio.ensure_future(stream.read(100))
            writing = asyncio.ensure_future(stream.write(bytes(LARGE[kind]), 5))
            await asyncio.sleep(0.01)
            peer.send(b"401")
            assert await reading == b"401"
            assert not writing.done()
            again = asyncio.ensure_future(stream.read(100))
            await take_all(peer, LARGE[kind])
            await writing
            peer.send(b"again")
            assert await again == b"again"

    run(scene())


# -- the end --------------------------------------------------------------------------------------


async def news(stream):
    """Wait until there is something to read, or an end."""
    async with asyncio.timeout(10):
        while not stream.is_readable():
            await asyncio.sleep(0.001)


@on_both_loops
@on_both_families
def test_whether_there_is_news(run, kind, listening):
    server = listening(kind)

    async def scene():
        async with connected(server) as (stream, peer):
            assert not stream.is_readable()
            peer.send(b"x")
            await news(stream)
            assert await stream.read(10) == b"x", "looking takes nothing"
            assert not stream.is_readable()
            peer.close()
            await news(stream)
        assert stream.is_readable()

    run(scene())


@on_both_loops
def test_a_reset_is_news(run, listening):
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, peer):
            reset(peer)
            await news(stream)

    run(scene())


@on_both_loops
def test_closed_twice_and_used_after_it(run, listening):
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, _peer):
            stream.close()
            stream.close()
            with pytest.raises(UpstreamClosed):
                await stream.read(10)
            with pytest.raises(UpstreamClosed):
                await stream.write(b"x", 5)

    run(scene())


@on_both_loops
@pytest.mark.parametrize("call", ["read", "write"])
def test_a_cancelled_call_does_not_disturb_who_gets_the_descriptor_next(run, call, listening):
    server = listening("unix")

    async def wait(stream):
        await (stream.read(10) if call == "read" else stream.write(bytes(LARGE["unix"]), 5))

    async def scene():
        for _ in range(3):
            async with connected(server) as (stream, _peer):
                number = stream._socket.fileno()
                task = asyncio.ensure_future(wait(stream))
                await asyncio.sleep(0.005)
                assert not task.done()
                task.cancel()
                await let_others_run()
                assert task.cancelled()
                stream.close()
                async with connected(server) as (other, peer):
                    assert other._socket.fileno() == number, "the kernel gives the lowest number"
                    waiting = asyncio.ensure_future(wait(other))
                    await asyncio.sleep(0.005)
                    assert not waiting.done()
                    if call == "read":
                        peer.send(b"x")
                    else:
                        await take_all(peer, LARGE["unix"])
                    await waiting

    run(scene())


@on_both_loops
def test_closed_under_a_reader(run, listening):
    """Against the rules, and all the same no wait without an end once bytes or an end come."""
    server = listening("tcp")

    async def scene():
        async with connected(server) as (stream, peer):
            reading = asyncio.ensure_future(stream.read(10))
            await let_others_run()
            assert isinstance(stream, SocketStream)
            peer.send(b"x")
            await asyncio.sleep(0.01)
            stream.close()
            assert await reading == b"x"

    run(scene())


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, a certificate for localhost, and one for somebody else."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder)
    return {
        "authority": authority,
        "localhost": make_certificate(folder, "localhost", "DNS:localhost,IP:127.0.0.1"),
        "other": make_certificate(folder, "other", "DNS:other.example"),
    }


@contextlib.asynccontextmanager
async def tls_server(certificate, handle):
    """A TLS server on the loop; gives its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    ended = []

    async def serve(reader, writer):
        ended.append(asyncio.current_task())
        try:
            await handle(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield parse_upstream(f"https://localhost:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        await server.wait_closed()
        if ended:
            await asyncio.wait(ended, timeout=5)
        await asyncio.sleep(0.01)  # transports close at the loop's next turns


async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@pytest.fixture
def trusted(certificates, monkeypatch):
    """Make the authority one of the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["authority"]))
    return certificates


@on_both_loops
def test_tls_there_and_back(run, trusted):
    async def scene():
        async with tls_server(trusted["localhost"], echo) as address:
            stream = await connect(address, 5)
            assert not stream.is_readable()
            writing = asyncio.ensure_future(stream.write(bytes(1 << 20), 5))
            received = 0
            while received < 1 << 20:
                received += len(await stream.read(1 << 20))
            await writing
            assert not stream.is_readable()
            stream.close()
            stream.close()
            assert stream.is_readable()
            await asyncio.sleep(0.01)

    run(scene())


@on_both_loops
def test_tls_bytes_that_nobody_asked_for(run, trusted):
    """On an idle connection they would be read as the answer to what is sent next."""

    async def scene():
        more = asyncio.Event()

        async def answer_and_more(reader, writer):
            writer.write(b"answer to " + await reader.read(100))
            await more.wait()
            writer.write(b"nobody")
            await reader.read()

        async with tls_server(trusted["localhost"], answer_and_more) as address:
            stream = await connect(address, 5)
            await stream.write(b"us", 5)
            assert await stream.read(100) == b"answer to us"
            assert not stream.is_readable()
            more.set()
            while not stream.is_readable():
                await asyncio.sleep(0.001)
            assert await stream.read(100) == b"nobody"
            assert not stream.is_readable()
            stream.close()

    run(scene())


@on_both_loops
def test_tls_ends(run, trusted):
    async def answer_once(reader, writer):
        writer.write(b"answer to " + await reader.read(100))
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def scene():
        async with tls_server(trusted["localhost"], answer_once) as address:
            stream = await connect(address, 5)
            await stream.write(b"you", 5)
            assert await stream.read(100) == b"answer to you"
            assert await stream.read(100) == b""
            assert stream.is_readable()
            stream.close()

    run(scene())


@on_both_loops
@pytest.mark.parametrize("certificate", ["localhost", "other"])
def test_a_certificate_that_is_not_to_be_believed(run, certificate, certificates, monkeypatch):
    if certificate == "other":
        # Of an authority that is believed, but for another name.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates["authority"]))

    async def scene():
        async with tls_server(certificates[certificate], echo) as address:
            await check_refused(address, "certificate verify failed")

    run_without_complaints(run, scene())


def run_without_complaints(run, coroutine):
    """asyncio's server complains of a failed handshake to the loop, which is not our subject."""

    async def quiet():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        await coroutine

    run(quiet())


@on_both_loops
def test_no_tls_behind(run, listening):
    server = listening("tcp")
    address = parse_upstream(f"https://localhost:{server.socket.getsockname()[1]}")

    async def scene():
        connecting = asyncio.ensure_future(connect(address, 5))
        loop = asyncio.get_running_loop()
        peer, _ = await loop.sock_accept(server.socket)
        await loop.sock_recv(peer, 4096)
        await loop.sock_sendall(peer, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(UpstreamRefused):
            await connecting
        peer.close()

    run(scene())


@on_both_loops
def test_a_handshake_that_never_ends(run, listening):
    server = listening("tcp")
    address = parse_upstream(f"https://localhost:{server.socket.getsockname()[1]}")

    async def scene():
        with pytest.raises(ConnectTimeout):
            await connect(address, 0.1)
        await asyncio.sleep(0.01)

    run(scene())


async def write_on(stream, timeout):
    """Write pieces, as a body is sent, until that fails."""
    while True:
        await stream.write(bytes(1 << 18), timeout)


@on_both_loops
def test_no_progress_over_tls(run, trusted):
    async def deaf(_reader, writer):
        writer.transport.pause_reading()
        await over.wait()

    over = asyncio.Event()

    async def scene():
        async with tls_server(trusted["localhost"], deaf) as address:
            stream = await connect(address, 5)
            with pytest.raises(SendTimeout):
                await write_on(stream, 0.1)
            stream.close()
            over.set()
            await asyncio.sleep(0.01)

    run(scene())


@on_both_loops
def test_tls_broken_while_writing(run, trusted):
    async def break_off(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    async def scene():
        async with tls_server(trusted["localhost"], break_off) as address:
            stream = await connect(address, 5)
            with pytest.raises(UpstreamClosed):
                await write_on(stream, 5)
            stream.close()
            await asyncio.sleep(0.01)

    run(scene())
