"""Request ids: a client's own where well-formed, else a random UUID, never twice, not even across a fork."""

import os
import subprocess
import sys
import textwrap
import uuid

import pytest

from shim.wire.identity import IDS_AT_ONCE, new_request_id, request_id
from tests.support.series import series

ID = b"req-00000000-0000-4000-8000-000000000001"
OTHER_ID = b"req-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
NEW = object()


def test_each_is_a_random_uuid_and_no_two_are_the_same():
    count = 3 * IDS_AT_ONCE + 1
    made = [new_request_id() for _ in range(count)]
    assert len(set(made)) == count
    read = [uuid.UUID(identity.removeprefix("req-")) for identity in made]
    assert [f"req-{one}" for one in read] == made
    assert {(one.variant, one.version) for one in read} == {(uuid.RFC_4122, 4)}
    # Every bit but those six that are the same in all.
    some, all_ = 0, (1 << 128) - 1
    for one in read:
        some, all_ = some | one.int, all_ & one.int
    assert (some ^ all_).bit_count() == 122


# In a process of its own, which has no threads that a fork would leave behind.
FORKS = """
    import os
    from shim.wire.identity import IDS_AT_ONCE, new_request_id

    new_request_id()  # the rest of its block is what a child could go on with
    for generation in range(3):
        if os.fork() == 0:
            break
        os.wait()
    text = "".join(new_request_id() + chr(10) for _ in range(2 * IDS_AT_ONCE))
    os.write(1, text.encode())
"""


def test_processes_forked_from_one_another_share_none():
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKS)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    made = ended.stdout.decode().split()
    assert len(made) == 4 * 2 * IDS_AT_ONCE
    assert len(set(made)) == len(made)


@series(
    ("fields", "identity"),
    [
        pytest.param((), NEW, id="none"),
        pytest.param(((b"x-openstack-request-id", OTHER_ID),), OTHER_ID, id="OpenStack's"),
        pytest.param(((b"x-request-id", OTHER_ID),), OTHER_ID, id="X-Request-Id"),
        pytest.param(
            ((b"x-request-id", ID), (b"x-openstack-request-id", OTHER_ID)),
            OTHER_ID,
            id="OpenStack's goes first",
        ),
        pytest.param(
            ((b"x-openstack-request-id", b"nonsense"), (b"x-request-id", OTHER_ID)),
            OTHER_ID,
            id="only one good",
        ),
        *(
            pytest.param(((b"x-openstack-request-id", value),), NEW, id=repr(value))
            for value in (
                b"",
                b"req-",
                OTHER_ID.removeprefix(b"req-"),
                OTHER_ID.upper(),
                OTHER_ID + b"a",
                OTHER_ID[:-1],
                OTHER_ID + b"\n",
                b" " + OTHER_ID,
                OTHER_ID.replace(b"a", b"g"),
                OTHER_ID.replace(b"-", b""),
                OTHER_ID + b", " + OTHER_ID,
            )
        ),
    ],
)
def test_request_ids(fields, identity):
    got = request_id(fields)
    if identity is NEW:
        drawn = uuid.UUID(got.removeprefix("req-"))
        assert got == f"req-{drawn}"
        assert (drawn.version, drawn.variant) == (4, uuid.RFC_4122)
        assert got != request_id(fields)
    else:
        assert got == identity.decode()
