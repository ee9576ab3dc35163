"""What to provide for a load, so that few uploads wait and none is refused: workers, shims, spool.

Each shim has to hold its part while the spare ones are down, and shares the servers' workers with the others.
"""

import math
from dataclasses import dataclass

from shim.admission.slots import upload_limit
from shim.capacity.arithmetic import Holding, holding, upload_line
from shim.capacity.line import slots_for
from shim.capacity.load import Load, Way
from shim.spool.budget import LARGEST_STEP

# Erlang's formula is a sum over all slots; beyond this it takes minutes, and no cloud is there to need it.
MOST_WORKERS = 1_000_000


class Overloaded(Exception):
    """More comes than the workers that there are (or that there can be) take in."""


@dataclass(frozen=True, slots=True)
class Premises:
    """What is asked of a plan, and what one shim can do.

    Attributes:
        waits: Part of the uploads that may have to wait for a worker.
        confidence: Part of the time in which spool and uploads stay within what is planned.
        upload_share: upstreams.NAME.upload_share: part of the workers that uploads may hold.
        workers: Those that there are, all servers together; None: as many as are needed.
        rate: Bytes a second that one shim takes in.
        uploads: Uploads that one shim may have under way (limits.max_uploads).
        spare: Shims that may be down while the others hold everything.
    """

    waits: float = 0.05
    confidence: float = 0.999
    upload_share: float = 0.75
    workers: int | None = None
    rate: float = 400 * 1024**2
    uploads: int = 1000
    spare: int = 1


@dataclass(frozen=True, slots=True)
class Shim:
    """What one shim of a plan gets, with the spare ones down.

    Attributes:
        uploads: For limits.max_uploads.
        spool: Bytes, for spool.max_total.
        slots: Its part of the workers: the sum of max_inflight over its servers.
    """

    uploads: int
    spool: float
    slots: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to provide.

    Attributes:
        way: The one that uploads take.
        holding: What the load holds, all together.
        uploads: Under way at a peak.
        held: Bytes on disk at a peak.
        leased: Bytes promised at a peak, or one largest image; spool.max_total has to allow them.
        slots: Uploads that the servers take at once.
        workers: Of the servers, with those that are kept for small calls.
        shims: Machines with a shim, spare ones included; 0 for the way without it.
        each: What one of them gets; None without any.
    """

    way: Way
    holding: Holding
    uploads: float
    held: float
    leased: float
    slots: int
    workers: int
    shims: int
    each: Shim | None


def make_plan(load: Load, way: Way, premises: Premises) -> Plan:
    """The least that holds ``load``.

    Raises:
        Overloaded: ``premises.workers`` cannot.
    """
    slots, workers = _slots(load, way, premises)
    whole = holding(load, way, slots)
    if math.isinf(whole.line.wait):
        raise Overloaded(
            f"{way.value}: uploads keep {whole.line.busy:.1f} workers busy, and may hold {slots} of {workers}"
        )
    shims = 0 if way is Way.STRAIGHT else _shims(whole, premises)
    return Plan(
        way=way,
        holding=whole,
        uploads=whole.uploads.peak(premises.confidence),
        held=whole.held.peak(premises.confidence),
        leased=_spool(load, whole, premises),
        slots=slots,
        workers=workers,
        shims=shims,
        each=_each(load, whole, premises, shims - premises.spare, workers) if shims else None,
    )


def workers_for(slots: int, share: float) -> int:
    """The fewest workers of which uploads may hold ``slots``: the inverse of the shim's own rule.

    One slot they may hold of any number, their share or not. It is planned by the share all the same, rounded
    down, so that small calls keep about theirs.
    """
    workers = max(slots, math.floor(slots / share))
    while upload_limit(workers, share) < slots:
        workers += 1
    return workers


def _slots(load: Load, way: Way, premises: Premises) -> tuple[int, int]:
    """How many slots uploads get, and the workers that it takes."""
    # Nobody keeps workers for small calls where there is no shim.
    keeps = way is not Way.STRAIGHT
    if premises.workers is not None:
        slots = int(upload_limit(premises.workers, premises.upload_share)) if keeps else premises.workers
        return slots, premises.workers
    busy = upload_line(load, way, 1).busy
    if busy > MOST_WORKERS:
        raise Overloaded(f"{way.value}: uploads keep over {MOST_WORKERS} workers busy")
    slots = slots_for(busy, premises.waits)
    return slots, workers_for(slots, premises.upload_share) if keeps else slots


def _shims(whole: Holding, premises: Premises) -> int:
    """How many: for the bytes that come at a peak and for the uploads, and the spare ones."""
    # Bytes come with the uploads that are being received, and peak as these do.
    peak = whole.uploads.peak(premises.confidence)
    incoming = whole.forwarding * (peak / whole.uploads.mean)
    needed = max(1, math.ceil(incoming / premises.rate), math.ceil(peak / premises.uploads))
    # A part of the load swings more than all of it: where that exceeds what one may hold, there is one more.
    while _part(whole, needed).uploads.peak(premises.confidence) > premises.uploads:
        # In steps of some percent, for it may be far.
        needed += max(1, needed // 50)
    return needed + premises.spare


def _each(load: Load, whole: Holding, premises: Premises, shims: int, workers: int) -> Shim:
    part = _part(whole, shims)
    return Shim(
        uploads=math.ceil(part.uploads.peak(premises.confidence)),
        spool=_spool(load, part, premises),
        slots=max(1, workers // (shims + premises.spare)),
    )


def _part(whole: Holding, shims: int) -> Holding:
    """What one of several holds among whom the uploads are dealt out at random."""
    return Holding(
        line=whole.line,
        uploads=whole.uploads.part(shims),
        held=whole.held.part(shims),
        leased=whole.leased.part(shims),
        forwarding=whole.forwarding / shims,
    )


def _spool(load: Load, whole: Holding, premises: Premises) -> float:
    """What spool.max_total has to allow: bytes leased at a peak, and never less than one image."""
    # An unknown length is leased in steps, each before it is needed.
    step = min(LARGEST_STEP, load.sizes.moment(1))
    ahead = (1 - load.known) * whole.uploads.peak(premises.confidence) * step
    return max(whole.leased.peak(premises.confidence) + ahead, load.sizes.quantile(premises.confidence))
