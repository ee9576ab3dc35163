"""A body against the plainest model there is, some bytes: any order of writing, reading and ending."""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shim.errors import ClientGone
from shim.spool import body as body_module
from shim.spool.body import Body, BodyState
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import LeapingLoop, let_others_run
from tests.support.examples import examples

SMALL_BATCH = 16


class BodyMachine(RuleBasedStateMachine):
    """One writer; readers that start anywhere and read in steps of any size."""

    def __init__(self):
        super().__init__()
        self.loop = LeapingLoop()
        self.batch, body_module.BATCH = body_module.BATCH, SMALL_BATCH
        self.disk = FakeDisk()
        self.bytes = b""
        self.readers = []
        self.held_write = None

    @initialize(memory_limit=st.sampled_from([0, 1, 8, 40]))
    def make(self, memory_limit):
        self.memory_limit = memory_limit
        self.body = Body(self.disk.create, memory_limit=memory_limit)

    def do(self, work):
        return self.loop.run_until_complete(work)

    @property
    def is_growing(self):
        return self.body.state is BodyState.GROWING

    @rule(data=st.binary(max_size=30), turns=st.integers(0, 3))
    @precondition(lambda self: self.is_growing)
    def append(self, data, turns):
        self.do(self.body.append(data))
        self.bytes += data
        self.do(let_others_run(turns))

    @rule(offset=st.integers(0, 120), most=st.integers(1, 50))
    def start_reader(self, offset, most):
        got = []

        async def read_on():
            position = offset
            while piece := await self.body.read(position, most):
                assert 0 < len(piece) <= most
                got.append(piece)
                position += len(piece)

        self.readers.append((offset, got, self.loop.create_task(read_on())))

    @rule(offset=st.integers(0, 120), data=st.binary(min_size=1, max_size=30))
    @precondition(lambda self: self.is_growing)
    def append_while_the_disk_is_slow(self, offset, data):
        gate = self.disk.hold("write")
        appending = self.loop.create_task(self.body.append(data))
        self.do(let_others_run())
        self.bytes += data
        if offset < len(self.bytes):
            # What was received is readable at once, also where its write is still under way.
            piece = self.do(self.body.read(offset, 50))
            assert piece
            assert self.bytes[offset:].startswith(piece)
        gate.set()
        self.do(appending)

    @rule()
    @precondition(lambda self: self.is_growing)
    def seal(self):
        self.do(self.body.seal())

    @rule()
    @precondition(lambda self: self.is_growing)
    def fail(self):
        self.body.fail(ClientGone("gone"))

    @invariant()
    def it_holds_what_was_appended(self):
        if not hasattr(self, "body"):
            return
        assert self.body.received == len(self.bytes)
        assert self.body.is_in_file == (len(self.bytes) > self.memory_limit)
        for offset, got, _ in self.readers:
            assert self.bytes[offset:].startswith(b"".join(got))

    def teardown(self):
        try:
            if hasattr(self, "body"):
                self.end()
        finally:
            body_module.BATCH = self.batch
            self.loop.close()

    def end(self):
        if self.is_growing:
            self.do(self.body.seal())
        failed = self.body.state is BodyState.FAILED
        self.do(let_others_run(500))
        for offset, got, task in self.readers:
            assert task.done()
            if failed:
                # One that read past the end it saw before has none to see: all end with the error.
                assert isinstance(task.exception(), ClientGone)
            else:
                task.result()
                assert b"".join(got) == self.bytes[offset:]
        self.do(self.body.close())
        assert self.disk.open_files == 0
        assert not asyncio.all_tasks(self.loop)


TestBodyModel = BodyMachine.TestCase
TestBodyModel.settings = examples(80, stateful_step_count=20)
