"""The script on a real Valkey or Redis server: it does what its model does, and failures become our own."""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis import Redis

from shim.cloud.address import SharedAddress, parse_shared
from shim.cloud.script import Keys, field_name
from shim.cloud.server import Access, CloudAway, ValkeyServer
from shim.cloud.values import Change, CloudLimits, Outcome, Turn, Verdict
from shim.commands import check
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.cloud import SharedRows
from tests.fakes.loops import run
from tests.support.shim import free_port
from tests.support.valkey import PROGRAM, Valkey
from tests.support.wire import PATIENCE

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed"),
]

PASSWORD = "se-cret"
# What a user of the server has to be allowed; docs/operating.md says the same.
ALLOWED = (
    "~glance-shim:* +eval +evalsha +hget +hmget +hset +hdel +pexpire +pttl +sadd +srem +smembers"
    " +srandmember +set +getrange +del +ping +select +client|setname"
)
LIMITS = CloudLimits(uploads=5, uploads_of_project=3, bytes_of_project=1 << 50)
ONE = Change("p", 1, 10)
LONG = 60.0


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    """A server on a unix socket, and over TLS on a port; whoever comes needs a user and a password."""
    folder = tmp_path_factory.mktemp("valkey")
    authority = make_authority(folder)
    certificate, key = make_certificate(folder, "valkey", "DNS:localhost,IP:127.0.0.1")
    users = folder / "users.acl"
    users.write_text(f"user default off\nuser shim on >{PASSWORD} {ALLOWED}\nuser test on nopass ~* +@all\n")
    port = free_port()
    tls = ("--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    trust = ("--tls-ca-cert-file", str(authority), "--aclfile", str(users))
    with Valkey(folder, *tls, *files, *trust) as server:
        server.tls_url, server.authority = f"rediss://shim:{PASSWORD}@localhost:{port}", authority
        yield server


@pytest.fixture(scope="module")
def eye(valkey):
    """A client that may look at everything."""
    with Redis(unix_socket_path=str(valkey.path), username="test", password="") as eye:
        yield eye


def member(valkey, cloud, name="m", *, life=LONG, timeout=5.0, **access) -> ValkeyServer:
    if "address" not in access:
        access["address"] = parse_shared(f"unix://shim:{PASSWORD}@{valkey.path}")
    return ValkeyServer(Access(timeout=timeout, **access), Keys(cloud, name), LIMITS, life)


# -- the script and its model ---------------------------------------------------------------------

NAMES = ("a", "b", "c")
amounts = st.builds(
    Change,
    st.sampled_from(["p", "q", "\u00e9", "2001:db8::1"]),
    st.integers(-2, 2),
    st.integers(-20, 20) | st.just(1 << 49),
)
held = st.builds(Change, st.sampled_from("pq"), st.integers(0, 3), st.integers(0, 1 << 50))
numbers = itertools.count()


class Clouds(RuleBasedStateMachine):
    """Three members, whose turns come in order mostly; the server and the model hear the same."""

    valkey: Valkey
    eye: Redis

    @initialize()
    def begin(self):
        self.cloud = f"model-{next(numbers)}"
        self.model = SharedRows()
        self.runner = asyncio.Runner()
        self.servers = {name: member(self.valkey, self.cloud, name) for name in NAMES}
        self.turns = dict.fromkeys(NAMES, 0)

    def teardown(self):
        if hasattr(self, "runner"):
            for server in self.servers.values():
                self.runner.run(server.close())
            self.runner.close()

    def take(self, name, turn):
        told = self.runner.run(self.servers[name].take_turn(turn))
        assert told == self.model.take_turn(name, turn, LIMITS, LONG, 0.0)

    @rule(
        name=st.sampled_from(NAMES),
        declared=st.none() | st.lists(held, max_size=3, unique_by=lambda change: change.project),
        changes=st.lists(amounts, max_size=4),
        step=st.sampled_from([1, 1, 1, 1, 0, 2]),
    )
    def turn(self, name, declared, changes, step):
        """In order mostly, and sometimes twice, or with one left out."""
        self.turns[name] += step
        self.take(name, Turn(self.turns[name], declared, changes))

    @rule(name=st.sampled_from(NAMES))
    def expire(self, name):
        self.eye.delete(self.servers[name]._keys.row)
        self.model.rows.pop(name, None)

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name):
        self.runner.run(self.servers[name].leave())
        self.model.rows.pop(name, None)

    @invariant()
    def rows_hold_the_same(self):
        for name, server in getattr(self, "servers", {}).items():
            assert fields(self.eye, server) == expected(self.model.rows.get(name))


def test_the_script_does_what_its_model_does(valkey, eye):
    machine = type("ReachedClouds", (Clouds,), {"valkey": valkey, "eye": eye})
    run_state_machine_as_test(
        machine, settings=settings(deadline=None, max_examples=20, stateful_step_count=25)
    )


def fields(eye, server):
    """What a row says of projects."""
    found = eye.hgetall(server._keys.row).items()
    return {field: int(value) for field, value in found if field[1:2] == b":"}


def expected(row):
    counts = {} if row is None else {"u": row.uploads, "b": row.sizes}
    return {
        f"{kind}:{field_name(project)}".encode(): count
        for kind, projects in counts.items()
        for project, count in projects.items()
        if count
    }


# -- what else it does, and what goes wrong ---------------------------------------------------------


def test_a_row_lives_as_long_as_agreed(valkey, eye):
    async def story():
        one, two = member(valkey, "life", "one", life=0.5), member(valkey, "life", "two")
        assert await one.take_turn(Turn(1, [ONE], published=b"[1]")) == Outcome(True, 1, 1)
        assert await two.take_turn(Turn(1, [], published=b"[2]")) == Outcome(True, 2, 1)
        assert sorted(await two.published()) == [b"[1]", b"[2]"]
        began = time.monotonic()
        for turn in itertools.count(2):
            if (await two.take_turn(Turn(turn, None))).uploads == 0:
                break
            assert time.monotonic() - began < PATIENCE
            await asyncio.sleep(0.02)
        assert eye.smembers(two._keys.members) == {b"two"}
        assert not (await one.take_turn(Turn(2, None, [ONE]))).is_known
        # All of it goes by itself once nobody takes turns any more.
        assert all(eye.pttl(key) > 0 for key in eye.scan_iter("glance-shim:{life}:*"))
        await asyncio.gather(one.close(), two.close())

    run(story())


def test_a_server_that_hangs_is_given_up_and_hears_nothing_late(valkey, eye):
    async def story():
        one = member(valkey, "hang", timeout=1.5)
        await one.take_turn(Turn(1, [ONE]))
        valkey.hang()
        try:
            began = time.monotonic()
            with pytest.raises(CloudAway, match=r"no answer within 1\.5 s|Timeout"):
                await one.take_turn(Turn(2, None, [ONE]))
            with pytest.raises(CloudAway):
                await one.published()
            assert time.monotonic() - began < PATIENCE
        finally:
            valkey.go_on()
        patient = member(valkey, "hang")
        # What was sent while it hung is there now, and outdated, whatever came first.
        assert (await patient.take_turn(Turn(3, [ONE]))).uploads == 1
        await asyncio.sleep(0.1)
        assert (await patient.take_turn(Turn(4, None))).uploads == 1
        await asyncio.gather(one.close(), patient.close())

    run(story())


def test_a_server_that_has_forgotten_its_scripts(valkey, eye):
    async def story():
        one = member(valkey, "script")
        await one.take_turn(Turn(1, [ONE]))
        eye.script_flush()
        assert (await one.take_turn(Turn(2, None, [ONE]))).verdicts == (Verdict.FITS,)
        assert (await one.take_turn(Turn(3, None, [ONE]))).uploads == 3
        await one.close()

    run(story())


def test_check_joins_asks_and_leaves(valkey, eye, tmp_path, capsys):
    cloud = ("limits.cloud.name=trial", "limits.cloud.max_uploads=3", "limits.cloud.timeout=5s")
    shared = f"limits.shared=unix://shim:{PASSWORD}@{valkey.path}"
    check.run(None, "http://127.0.0.1:1", [f"spool.directory={tmp_path}", shared, *cloud])
    output = capsys.readouterr().out
    told = (
        f"ok       limits.shared: unix://shim@{valkey.path}, cloud trial: counts, and 0 others have 0 uploads"
    )
    assert told in output
    assert PASSWORD not in output
    assert eye.keys("glance-shim:{trial}:*") == []


def test_over_tls_with_a_password_in_a_file(valkey, tmp_path):
    async def story():
        file = tmp_path / "password"
        file.write_text(f"{PASSWORD}\n")
        named = replace(parse_shared(valkey.tls_url), password="")
        one = member(valkey, "tls", address=named, password_file=file, ca_file=valkey.authority)
        assert (await one.take_turn(Turn(1, [ONE]))).uploads == 1
        await one.close()
        # A new connection reads it anew.
        file.write_text("other")
        one = member(valkey, "tls", address=named, password_file=file, ca_file=valkey.authority)
        with pytest.raises(CloudAway, match=r"(?i)password") as fault:
            await one.take_turn(Turn(2, None))
        assert PASSWORD not in str(fault.value)
        file.unlink()
        with pytest.raises(CloudAway, match=r"password_file .*No such file"):
            await one.take_turn(Turn(3, None))
        stranger = member(valkey, "tls", address=parse_shared(valkey.tls_url))
        with pytest.raises(CloudAway, match=r"(?i)certificate"):
            await stranger.take_turn(Turn(1, []))
        await asyncio.gather(one.close(), stranger.close())

    run(story())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"+OK\r\n" * 9])
def test_whoever_else_listens_there(answer):
    async def talk(reader, writer):
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async def story():
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            one = member(None, "other", address=SharedAddress("127.0.0.1", port))
            with pytest.raises(CloudAway):
                await one.take_turn(Turn(1, []))
            await one.close()
        gone = member(None, "gone", address=SharedAddress("127.0.0.1", port))
        with pytest.raises(CloudAway, match="Connect call failed"):
            await gone.take_turn(Turn(1, []))
        await gone.close()

    run(story())
