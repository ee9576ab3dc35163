"""Request ids: each a random UUID, never twice the same, not even in processes forked from one another."""

import os
import subprocess
import sys
import textwrap
import uuid

from shim.wire.identity import IDS_AT_ONCE, new_request_id


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
