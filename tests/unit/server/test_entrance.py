"""What comes before HTTP, on real sockets and both loops: the PROXY header, TLS, and both."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
from types import SimpleNamespace

import pytest
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate
from shim.server.certificates import ServerCertificate, TlsFiles
from shim.server.connection_options import ConnectionOptions
from shim.server.entrance import EntranceOptions, entered_by
from shim.server.protocol import ClientConnection
from shim.wire.peer import TrustedProxies
from shim.wire.proxy_protocol import SIGNATURE
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.loops import REAL_LOOPS
from tests.fakes.session import Echo, answer_with, read_answers

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
GET = b"GET / HTTP/1.1\r\nHost: glance\r\nConnection: close\r\n\r\n"
HERE = TrustedProxies((ipaddress.ip_network("127.0.0.0/8"),))
ELSEWHERE = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"),))
V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n"
V2 = SIGNATURE + bytes.fromhex("2111000c cb007109 c0000201 c822 01bb")
LOCAL = SIGNATURE + bytes.fromhex("20000000")
LARGE = 64 * 1024 * 1024


class Place:
    """A listener behind an entrance."""

    def __init__(self, identity, *, tls=False, client_ca=False, proxies=None, timeout=20.0, gate=None):
        self.identity = identity
        files = TlsFiles(
            identity / "shim.pem", identity / "shim.key", identity / "authority.pem" if client_ca else None
        )
        self.certificate = ServerCertificate(files) if tls or client_ca else None
        self.gate = gate or ConnectionGate()
        self.options = EntranceOptions(self.certificate, proxies, timeout, self.gate)
        self.state = ServerState()
        self.context = ssl.create_default_context(cafile=identity / "authority.pem")

    @contextlib.asynccontextmanager
    async def serving(self, application, **options):
        config = SimpleNamespace(loaded_app=application)

        def make(config, server_state, app_state, _loop=None, **more):
            return ClientConnection(
                config,
                server_state,
                app_state,
                _loop,
                options=ConnectionOptions(**options),
                gate=self.gate,
                **more,
            )

        protocol = entered_by(self.options, make)
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol(config, self.state, {}, None), "127.0.0.1", 0
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()
        async with asyncio.timeout(20):
            while self.state.connections or self.state.tasks:
                await asyncio.sleep(0.001)

    async def talk(self, *, before=b"", request=GET, tls=None):
        """Send, with ``before`` in the clear; gives all that came, None where the connection was reset."""
        return await asyncio.to_thread(self._talk, before, request, tls)

    def connect(self, before=b"", tls=None):
        client = socket.create_connection(("127.0.0.1", self.port), 20)
        if before:
            client.sendall(before)
        return client if tls is None else tls.wrap_socket(client, server_hostname="127.0.0.1")

    def _talk(self, before, request, tls):
        received = b""
        try:
            with self.connect(before, tls) as client:
                client.sendall(request)
                while piece := client.recv(65536):
                    received += piece
        except (ConnectionError, ssl.SSLError):
            return received or None
        return received


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity")
    make_authority(folder)
    make_certificate(folder, "shim", "IP:127.0.0.1")
    make_certificate(folder, "client", "DNS:client")
    return folder


@on_both_loops
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("header", "client"),
    [
        (V1, ("203.0.113.9", 51234)),
        (V2, ("203.0.113.9", 51234)),
        (V2[:15] + b"\x0f" + V2[16:] + b"\x04\x00\x00", ("203.0.113.9", 51234)),
        (LOCAL, None),
        (b"PROXY UNKNOWN\r\n", None),
    ],
    ids=["v1", "v2", "v2 with more", "local", "unknown"],
)
def test_a_proxy_header_names_the_client(run, identity, header, client, tls):
    place, echo = Place(identity, tls=tls, proxies=HERE), Echo()

    async def scene():
        async with place.serving(echo):
            data = await place.talk(before=header, tls=place.context if tls else None)
        (answer,) = read_answers(data, "GET")
        assert answer.status == 200
        (scope,) = echo.scopes
        assert scope["scheme"] == ("https" if tls else "http")
        if client is None:
            assert scope["client"][0] == "127.0.0.1"
            assert scope["server"] == ("127.0.0.1", place.port)
        else:
            assert (scope["client"], scope["server"]) == (client, ("192.0.2.1", 443))

    run(scene())


@on_both_loops
def test_a_proxy_header_in_one_packet_with_the_request(run, identity):
    place, echo = Place(identity, proxies=HERE), Echo()

    async def scene():
        async with place.serving(echo):
            data = await place.talk(request=V2 + GET)
        assert read_answers(data, "GET")[0].status == 200
        assert echo.scopes[0]["client"] == ("203.0.113.9", 51234)

    run(scene())


@on_both_loops
@pytest.mark.parametrize(
    "case",
    [
        (HERE, GET, "begins with no PROXY header"),
        (HERE, b"PROXY TCP4 1.2.3.4\r\n" + GET, "PROXY line is malformed"),
        (HERE, b"PROXY TCP4 \x1b[31m\r\n", "PROXY line is malformed"),
        (HERE, V2[:13] + b"\x12" + V2[14:], "unknown family"),
        (ELSEWHERE, V1 + GET, "is not in server.trusted_proxies"),
        (ELSEWHERE, GET, "is not in server.trusted_proxies"),
    ],
)
def test_whoever_cannot_be_known_is_not_served(run, identity, case, caplog):
    proxies, sent, told = case
    place, echo = Place(identity, proxies=proxies), Echo()

    async def scene():
        async with place.serving(echo):
            assert not await place.talk(request=sent)

    run(scene())
    assert echo.scopes == []
    (line,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert told in line
    # What to do stands in the line, what the client sent does not.
    assert "server.proxy_protocol" in line
    assert "1.2.3.4" not in line
    assert line.isprintable()


@on_both_loops
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 1"])
def test_the_entrance_has_an_end(run, identity, tls, sent):
    place = Place(identity, tls=tls, proxies=None if tls else HERE, timeout=0.05)

    async def scene():
        async with place.serving(Echo()):
            assert not await place.talk(request=sent if not tls else b"\x16\x03\x01\x00")

    run(scene())


@on_both_loops
@pytest.mark.parametrize(("idle", "told"), [(2, b"queue_full"), (4, None)])
def test_who_never_shakes_hands_counts(run, identity, idle, told):
    """As many again are let in as far as to be told so, and no more: each costs a session of TLS."""
    place, echo = Place(identity, tls=True, gate=ConnectionGate(2)), Echo()

    async def scene():
        async with place.serving(echo):
            clients = [await asyncio.to_thread(place.connect) for _ in range(idle)]
            async with asyncio.timeout(20):
                while len(place.state.connections) < idle:
                    await asyncio.sleep(0.001)
            data = await place.talk(tls=place.context)
            if told is None:
                assert data is None
            else:
                assert read_answers(data, "GET")[0].body == told
            assert place.gate.open == 2
            for client in clients:
                client.close()
        assert place.gate.open == 0

    run(scene())


@on_both_loops
def test_drain_ends_what_has_not_begun(run, identity):
    place = Place(identity, tls=True)

    async def scene():
        async with place.serving(Echo()):
            client = await asyncio.to_thread(place.connect)
            async with asyncio.timeout(20):
                while not place.state.connections:
                    await asyncio.sleep(0.001)
            for connection in list(place.state.connections):
                connection.shutdown()
            assert await asyncio.to_thread(client.recv, 1) == b""
            client.close()

    run(scene())


@on_both_loops
def test_clients_need_a_certificate_where_there_is_an_authority_for_them(run, identity, caplog):
    caplog.set_level("INFO")
    place = Place(identity, client_ca=True)
    known = ssl.create_default_context(cafile=identity / "authority.pem")
    known.load_cert_chain(identity / "client.pem", identity / "client.key")

    async def scene():
        async with place.serving(Echo()):
            assert read_answers(await place.talk(tls=known), "GET")[0].status == 200
            assert not await place.talk(tls=place.context)

    run(scene())
    assert "No TLS with 127.0.0.1: peer did not return a certificate" in caplog.text


@on_both_loops
def test_old_versions_are_refused(run, identity):
    place = Place(identity, tls=True)
    old = ssl.create_default_context(cafile=identity / "authority.pem")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    async def scene():
        async with place.serving(Echo()):
            assert not await place.talk(tls=old)

    run(scene())


@on_both_loops
def test_plain_http_on_a_tls_port_is_told_so(run, identity):
    place = Place(identity, tls=True)

    async def scene():
        async with place.serving(Echo()):
            (answer,) = read_answers(await place.talk(), "GET")
        assert (answer.status, answer.body) == (400, b"bad_request")

    run(scene())


@on_both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_refusal_reaches_a_client_that_is_still_sending(run, identity, version):
    place = Place(identity, tls=True)
    context = ssl.create_default_context(cafile=identity / "authority.pem")
    context.maximum_version = version

    async def refuse(_scope, _receive, send):
        await answer_with(send, b"no" * 1000, 413)

    def send_on():
        with place.connect(tls=context) as client:
            client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE >> 20):
                client.sendall(bytes(1 << 20))
            received = b""
            while piece := client.recv(65536):
                received += piece
            return received

    async def scene():
        async with place.serving(refuse):
            data = await asyncio.to_thread(send_on)
        assert read_answers(data, "PUT")[0].body == b"no" * 1000

    run(scene())


@on_both_loops
@pytest.mark.parametrize("ending", ["cut", "whole"])
def test_only_a_whole_answer_ends_with_close_notify(run, identity, ending):
    place = Place(identity, tls=True)

    async def answer(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        if ending == "cut":
            raise RuntimeError("the upstream is gone")
        await send({"type": "http.response.body", "body": b""})

    def read():
        client = socket.create_connection(("127.0.0.1", place.port), 20)
        with place.context.wrap_socket(
            client, server_hostname="127.0.0.1", suppress_ragged_eofs=False
        ) as tls:
            # HTTP/1.0 has no other sign of the end.
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while tls.recv(65536):
                pass

    async def scene():
        async with place.serving(answer):
            if ending == "whole":
                await asyncio.to_thread(read)
            else:
                with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                    await asyncio.to_thread(read)

    run(scene())


@on_both_loops
def test_bodies_and_answers_of_many_records(run, identity):
    place = Place(identity, tls=True)
    body = bytes(range(256)) * 4096
    request = (
        b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    )

    async def scene():
        async with place.serving(Echo()):
            (answer,) = read_answers(await place.talk(request=request, tls=place.context), "PUT")
        assert answer.body == b"PUT /a " + body

    run(scene())


@on_both_loops
def test_a_renewed_certificate_is_for_new_connections(run, identity, tmp_path):
    place = Place(identity, tls=True)
    make_authority(tmp_path)
    make_certificate(tmp_path, "new", "IP:127.0.0.1")
    newer = ssl.create_default_context(cafile=tmp_path / "authority.pem")

    def ask(client):
        client.sendall(GET.replace(b"Connection: close\r\n", b""))
        received = b""
        # Head and body are records of their own.
        while not received.endswith(b"GET / "):
            received += client.recv(65536)
        return received

    async def scene():
        async with place.serving(Echo()):
            before = await asyncio.to_thread(place.connect, tls=place.context)
            assert (await asyncio.to_thread(ask, before)).startswith(b"HTTP/1.1 200")
            place.certificate._files = TlsFiles(tmp_path / "new.pem", tmp_path / "new.key")
            assert place.certificate.reload()
            assert read_answers(await place.talk(tls=newer), "GET")[0].status == 200
            assert (await asyncio.to_thread(ask, before)).startswith(b"HTTP/1.1 200")
            before.close()

    run(scene())


def test_garbage_in_place_of_records(identity):
    """A connection whose bytes were altered on their way is cut, whatever it is doing."""
    place = Place(identity, tls=True)

    def spoil():
        with place.connect(tls=place.context) as client:
            raw = socket.socket(fileno=client.detach())
        with raw:
            raw.settimeout(20)
            raw.sendall(b"\x17\x03\x03" + struct.pack(">H", 100) + bytes(100))
            with contextlib.suppress(ConnectionError):
                while raw.recv(65536):
                    pass

    async def scene():
        async with place.serving(Echo()):
            await asyncio.to_thread(spoil)

    asyncio.run(scene())
