"""One upload's lease: when it asks, for how much, and what a refusal is called."""

import contextlib

import pytest

from shim.admission.gate import COUNTED_FROM, UploadGate
from shim.cloud.lease import LARGEST_STEP, CloudLease
from shim.cloud.values import Change, CloudLimits, Verdict
from shim.errors import BodyTooLarge, ProjectLimit, UploadsFull
from shim.observe.cloud import CloudView
from shim.timing import UNLIMITED
from tests.fakes.loops import run
from tests.support.series import series

KIB = 1024
MIB = 1024 * KIB
LARGE = COUNTED_FROM + 1


BYTES = CloudLimits(bytes_of_project=1 << 40)
NO_BYTES = CloudLimits()


class Told:
    """In place of a member: gives verdicts as told, then ``FITS``, and remembers what was asked."""

    def __init__(self, *verdicts, limits=NO_BYTES):
        self.verdicts = [*verdicts]
        self.limits = limits
        self.asked = []
        self.held = Change("p", 0, 0)

    async def take(self, change, *, is_under_way=False):
        self.asked.append((change.uploads, change.size, is_under_way))
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict.FITS
        if verdict is Verdict.FITS:
            self.give_back(-change)
        return verdict

    def give_back(self, change):
        self.held = Change("p", self.held.uploads - change.uploads, self.held.size - change.size)

    def view(self):
        return CloudView(False, "refused", 0, 0)


def test_without_a_limit_of_bytes_it_asks_once():
    member = Told()
    lease = CloudLease(member, "p")

    async def story():
        for size in (LARGE, 2 * LARGE, 1 << 40):
            await lease.cover(size)
            assert lease.room(size) == UNLIMITED

    run(story())
    assert member.asked == [(1, 0, False)]
    lease.release()
    lease.release()
    assert member.held == Change("p", 0, 0)


def test_a_declared_length_asks_once():
    member = Told(limits=BYTES)
    lease = CloudLease(member, "p")
    run(lease.cover(1 << 30))
    assert member.asked == [(1, 1 << 30, False)]
    assert lease.room(1 << 29) == 1 << 29
    lease.release()
    assert member.held == Change("p", 0, 0)


def test_an_unknown_length_asks_in_steps_that_double():
    member = Told(limits=BYTES)
    lease = CloudLease(member, "p")

    async def story():
        size = LARGE
        while size < 1 << 30:
            await lease.cover(size)
            size += int(lease.room(size)) + 1

    run(story())
    assert len(member.asked) < 20
    assert max(size for _, size, _ in member.asked) == LARGEST_STEP
    assert [under_way for *_, under_way in member.asked] == [False] + [True] * (len(member.asked) - 1)


def test_a_step_that_does_not_fit_is_halved_for_good():
    member = Told(Verdict.FITS, Verdict.BYTES, Verdict.BYTES, limits=BYTES)
    lease = CloudLease(member, "p")

    async def story():
        await lease.cover(8 * MIB)
        await lease.cover(8 * MIB + 1)
        assert lease.room(8 * MIB + 1) == 2 * MIB - 1
        await lease.cover(10 * MIB + 1)

    run(story())
    assert [size // MIB for _, size, _ in member.asked] == [8, 8, 4, 2, 2]


def test_what_is_needed_fits_where_the_least_step_does_not():
    """To its last byte a project gets what it may have; only then is it told that it is full."""
    limit = MIB
    member = Told(limits=CloudLimits(bytes_of_project=limit))
    lease = CloudLease(member, "p")

    async def take(change, *, is_under_way=False):
        if member.held.size + change.size > limit:
            return Verdict.BYTES
        return await Told.take(member, change, is_under_way=is_under_way)

    member.take = take

    async def story():
        for size in (LARGE, limit - 2, limit - 1, limit):
            await lease.cover(size)
        with pytest.raises(BodyTooLarge):
            await lease.cover(limit + 1)

    run(story())
    assert member.held.size == limit


@series("limit", [100 * KIB, 3 * MIB, 1 << 30, 1 << 40])
def test_near_its_limit_a_project_does_not_ask_all_the_time(limit):
    member = Told(limits=CloudLimits(bytes_of_project=limit))
    judge = member.take

    async def take(change, *, is_under_way=False):
        if member.held.size + change.size > limit:
            member.verdicts.insert(0, Verdict.BYTES)
        return await judge(change, is_under_way=is_under_way)

    member.take = take
    lease = CloudLease(member, "p")

    async def story():
        size = LARGE
        with contextlib.suppress(ProjectLimit):
            while size <= limit:
                await lease.cover(size)
                # Some pieces fit what was given, and the next one does not.
                size += int(lease.room(size)) + 16 * KIB

    run(story())
    assert len(member.asked) < 60 + limit / LARGEST_STEP
    assert member.held.size > limit - 80 * KIB - limit / 256


@series(
    ("verdict", "error", "words"),
    [
        (Verdict.TOTAL, UploadsFull, "Too many uploads are under way in the cloud"),
        (Verdict.UPLOADS, ProjectLimit, "Too many uploads of this project"),
        (Verdict.BYTES, ProjectLimit, "hold all it may spool"),
        (None, UploadsFull, "cannot be asked about now"),
    ],
)
def test_a_refusal_says_what_is_full(verdict, error, words):
    member = Told(verdict, verdict, limits=BYTES)
    lease = CloudLease(member, "p")
    with pytest.raises(
        error, match=words if verdict is not None else "limits.shared is away: refused"
    ) as refusal:
        run(lease.cover(LARGE))
    assert words in refusal.value.detail
    assert refusal.value.retry_after == 10
    lease.release()
    assert member.held == Change("p", 0, 0)


def test_what_could_never_fit_is_not_asked_about():
    member = Told(limits=BYTES)
    with pytest.raises(BodyTooLarge):
        run(CloudLease(member, "p").cover((1 << 40) + 1))
    assert member.asked == []


def test_the_gate_asks_the_cloud_for_large_bodies_alone_and_after_itself():
    member = Told(Verdict.TOTAL, limits=BYTES)
    gate = UploadGate(2, cloud=member)

    async def story():
        with gate.ticket("p") as small:
            await small.cover(COUNTED_FROM)
            assert small.room(100) == COUNTED_FROM - 100
        assert member.asked == []
        with pytest.raises(UploadsFull, match="cloud"), gate.ticket("p") as refused:
            await refused.cover(LARGE)
        assert gate.under_way == 0
        with gate.ticket("p") as one, gate.ticket("p") as two, gate.ticket("p") as three:
            await one.cover(LARGE)
            await two.cover(0)
            await two.cover(2 * LARGE)
            assert two.room(LARGE) == LARGE
            asked = len(member.asked)
            with pytest.raises(UploadsFull):
                await three.cover(LARGE)
            assert len(member.asked) == asked
        assert member.held == Change("p", 0, 0)

    run(story())
