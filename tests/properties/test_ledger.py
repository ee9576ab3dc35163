"""Any interleaving of any number of processes on one table: no limit is crossed, and nothing is lost.

Each joined table is a process as far as the kernel's locks go; closing it is what SIGKILL does to it.
"""

import os
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shim.errors import BodyTooLarge, ProjectLimit, SpoolFull
from shim.ledger.counts import Resource
from shim.ledger.opening import TableFile
from shim.ledger.state import open_directory
from shim.spool.budget import Budget
from tests.support.examples import examples

PROJECTS = ("a", "b", "2001:db8::/64")
limits = st.integers(1, 120) | st.just(float("inf"))
numbers = st.integers(0, 10)


class Worker:
    """One process: its budget, and the leases that it holds."""

    def __init__(self, table, limit, share):
        self.table = table
        self.budget = Budget(limit, share, table)
        self.leases = []


class Workers(RuleBasedStateMachine):
    """Workers that come, lease, give back and are killed, in any order."""

    @initialize(limit=limits, share=limits)
    def begin(self, limit, share):
        self.limit, self.share = limit, share
        self.folder = tempfile.TemporaryDirectory()
        self.directory = open_directory(Path(self.folder.name))
        self.file = TableFile(self.directory, Path(self.folder.name))
        self.workers = []
        self.come()

    @rule()
    def come(self):
        if len(self.workers) < 5:
            self.workers.append(Worker(self.file.join(holders=True), self.limit, self.share))

    @precondition(lambda self: self.workers)
    @rule(which=numbers, project=st.sampled_from(PROJECTS), size=st.integers(0, 130) | st.none())
    def lease(self, which, project, size):
        worker = self.workers[which % len(self.workers)]
        self.attempt(project, 0, size or 0, lambda: self.keep(worker, project, size))

    def keep(self, worker, project, size):
        worker.leases.append((project, worker.budget.lease(size, project)))

    @precondition(lambda self: any(worker.leases for worker in self.workers))
    @rule(which=numbers, more=st.integers(1, 60))
    def grow(self, which, more):
        held = [held for worker in self.workers for held in worker.leases]
        project, lease = held[which % len(held)]
        size = lease.size
        self.attempt(project, size, size + more, lambda: lease.cover(size + more))
        assert lease.size >= size

    def attempt(self, project, before, size, work):
        """Refused only where it must be, for the right reason, and without a trace."""
        total, share = self.total(), self.total(project)
        try:
            work()
        except BodyTooLarge:
            assert size > min(self.limit, self.share)
            assert (self.total(), self.total(project)) == (total, share)
        except ProjectLimit:
            assert share + size - before > self.share
            assert self.total(project) == share
        except SpoolFull:
            assert total + size - before > self.limit
            assert self.total() == total
        else:
            assert size <= min(self.limit, self.share) or size == before

    @precondition(lambda self: any(worker.leases for worker in self.workers))
    @rule(which=numbers, again=st.booleans())
    def give_back(self, which, again):
        worker = next(worker for worker in self.workers if worker.leases)
        _, lease = worker.leases.pop(which % len(worker.leases))
        lease.release()
        if again:
            lease.release()

    @precondition(lambda self: self.workers)
    @rule(which=numbers)
    def kill(self, which):
        self.workers.pop(which % len(self.workers)).table.close()

    def total(self, project=None):
        """What the living hold, as they know it themselves."""
        return sum(
            lease.size
            for worker in self.workers
            for whose, lease in worker.leases
            if project in (None, whose)
        )

    @invariant()
    def limits_hold(self):
        if not hasattr(self, "workers"):
            return
        assert 0 <= self.total() <= self.limit
        assert all(self.total(project) <= self.share for project in PROJECTS)
        for worker in self.workers:
            assert worker.budget.leased == sum(lease.size for _, lease in worker.leases)

    @precondition(lambda self: self.workers)
    @rule()
    def the_table_says_the_same(self):
        table = self.workers[0].table
        table._clear_dead()
        assert table._held(Resource.BYTES, None).total == self.total()
        for project in PROJECTS:
            if self.share != float("inf"):
                assert table._held(Resource.BYTES, project).share == self.total(project)

    def teardown(self):
        if hasattr(self, "workers"):
            for worker in self.workers:
                worker.table.close()
            self.file.close()
            os.close(self.directory)
            self.folder.cleanup()


TestWorkers = Workers.TestCase
TestWorkers.settings = examples(40, stateful_step_count=40)
