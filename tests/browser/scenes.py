"""Scenes: what a shim would have to tell in states that are hard to bring about, as values.

The real admin application serves them (view, feed, page), so that only the numbers are made up.
"""

import math
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from shim.app.health import Readiness, ServerHealth
from shim.observe.counters import Counters
from shim.observe.history import HOUR, STEP, History, Step
from shim.observe.journal import UPLOAD_PHASES, Phase
from shim.observe.snapshot import Snapshot
from shim.spool.space import Space
from shim.upstream.address import UpstreamAddress, parse_upstream
from shim.upstream.health import Health, Sign

MIB, GIB = 1 << 20, 1 << 30
FIRST = parse_upstream("uwsgi+unix:///run/glance/api.sock")
SECOND = parse_upstream("uwsgi://10.0.3.12:3031")
UP = Health(Sign.ANSWERS, "answers the ping")
DOWN = Health(Sign.DOWN, "Nobody listens at uwsgi://10.0.3.12:3031: connection refused")
PROJECTS = [f"{random.Random(1000 + seed).getrandbits(128):032x}" for seed in range(6)]
ROOMY = Space(400 * GIB, 291 * GIB, 20 * GIB)
READY = Readiness(ready=True, faults=[])


@dataclass(frozen=True)
class Scene:
    """A state of a shim; ``uploads`` gives those under way at a time in seconds, counted from its start."""

    uploads: Callable[[float], list[dict[str, object]]] = lambda _now: []
    readiness: Readiness = READY
    servers: Sequence[ServerHealth] = ()
    limit: float = 64 * GIB
    leased: int = 0
    space: Space = ROOMY
    life: str = "serving"
    waiting: int = 0
    traffic: Callable[[int], Step] = lambda _ago: Step()
    refused_before: dict[str, int] = field(default_factory=dict)

    def snapshot(self, now: float, clock: float) -> Snapshot:
        """What all workers would tell, ``now`` seconds into the scene, at a reading of the clock."""
        uploads = self.uploads(now)
        held = sum(int(str(upload["bytes"])) for upload in uploads)
        counters = Counters(history=self._history(clock))
        counters.refusals.update(self.refused_before)
        for step in counters.history.steps.values():
            counters.refusals.update(step.refusals)
        counters.requests["upload", "PUT", 204] = 18_402
        counters.body_bytes["auto"] = 1 << 40
        phases = dict.fromkeys(UPLOAD_PHASES.values(), 0)
        for upload in uploads:
            phases[UPLOAD_PHASES[Phase(str(upload["phase"]))]] += 1
        return Snapshot(
            life=self.life,
            counters=counters,
            phases=phases,
            uploads=tuple(uploads),
            held=held,
            leased=max(held, self.leased),
            files=len(uploads),
            inflight={(server.upstream, str(server.address)): server.inflight for server in self.servers},
            drain_rates={("glance", str(FIRST)): 71.5 * MIB, ("glance", str(SECOND)): 64.2 * MIB},
            waiting={"glance": self.waiting},
            workers=2,
        )

    def _history(self, clock: float) -> History:
        history = History()
        last = int(clock // STEP)
        for ago in range(HOUR):
            history.steps[last - ago] = self.traffic(ago)
        return history


def server(
    address: UpstreamAddress = FIRST, health: Health = UP, inflight: int = 0, slots: float = 8
) -> ServerHealth:
    """A server of the upstream "glance"."""
    return ServerHealth("glance", address, inflight, health, slots)


def upload(
    number: int, now: float, *, length: int | None, rate: float, age: float, phase: str = "receive"
) -> dict[str, object]:
    """One upload that began ``age`` seconds before the scene."""
    dice = random.Random(number)
    image = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    come = int(rate * (age + now))
    there = come if length is None else min(length, come)
    return {
        "key": f"{1 + number % 2}-{number}",
        "id": f"req-{image}",
        "method": "PUT",
        "path": f"/v2/images/{image}/file",
        "project": PROJECTS[number % len(PROJECTS)],
        "image": image,
        "bytes": length if phase != "receive" and length is not None else there,
        "length": length,
        "rate": rate,
        "phase": phase,
        "age": age + now,
    }


def _busy_uploads(now: float) -> list[dict[str, object]]:
    return [
        upload(1, now, length=42 * GIB, rate=58.3 * MIB, age=494, phase="receive"),
        upload(2, now, length=8 * GIB, rate=31.4 * MIB, age=161, phase="receive"),
        upload(3, now, length=None, rate=11.9 * MIB, age=122, phase="receive"),
        upload(4, now, length=2 * GIB, rate=96.0 * MIB, age=95, phase="wait"),
        upload(5, now, length=int(2.5 * GIB), rate=44.0 * MIB, age=71, phase="send"),
        upload(6, now, length=700 * MIB, rate=24.0 * MIB, age=40, phase="queue"),
        upload(7, now, length=512 * MIB, rate=18.2 * MIB, age=19, phase="receive"),
        upload(8, now, length=int(1.2 * GIB), rate=0.41 * MIB, age=14, phase="receive"),
        upload(9, now, length=None, rate=22.5 * MIB, age=6, phase="receive"),
    ]


def _busy_traffic(ago: int) -> Step:
    dice = random.Random(ago)
    wave = 95 + 60 * math.sin(ago / 9) + 30 * math.sin(ago / 3.1) + dice.uniform(-18, 18)
    step = Step(int(max(6.0, wave) * MIB * STEP), max(1, round(7 + 4 * math.sin(ago / 11))))
    if ago % 47 == 5:
        step.refusals["size_mismatch"] += 1
    if ago % 29 == 3:
        step.refusals["body_idle_timeout"] += 1
    return step


def _full_traffic(ago: int) -> Step:
    step = _busy_traffic(ago)
    if ago < 25:
        step.refusals["spool_full"] += max(0, 14 - ago // 2) + random.Random(ago).randrange(4)
        step.uploads += (25 - ago) // 2
    return step


def _broken_traffic(ago: int) -> Step:
    step = _busy_traffic(ago)
    if ago < 12:
        step = Step(0 if ago < 5 else step.received // (14 - ago), 3)
        step.refusals["upstream_refused"] += 5 + random.Random(ago).randrange(9)
    return step


def many_uploads(number: int) -> Callable[[float], list[dict[str, object]]]:
    """So many uploads of all kinds."""

    def uploads(now: float) -> list[dict[str, object]]:
        return [
            upload(
                serial,
                now,
                length=None if serial % 7 == 0 else (1 + serial % 40) * 256 * MIB,
                rate=(1 + serial * 37 % 97) * MIB / 16,
                age=1 + serial * 1.7,
            )
            for serial in range(number)
        ]

    return uploads


IDLE = Scene(servers=[server(), server(SECOND)], refused_before={"size_mismatch": 3, "client_gone": 11})
BUSY = Scene(
    uploads=_busy_uploads,
    servers=[server(inflight=3), server(SECOND, inflight=2)],
    leased=53 * GIB - 4 * GIB,
    waiting=1,
    traffic=_busy_traffic,
    refused_before={"client_gone": 11},
)
FULL = replace(
    BUSY,
    leased=int(63.4 * GIB),
    space=Space(400 * GIB, 27 * GIB, 20 * GIB),
    traffic=_full_traffic,
    waiting=4,
    servers=[server(inflight=8), server(SECOND, inflight=8)],
)
_NOBODY = "No worker answers at uwsgi+unix:///run/glance/api.sock: the socket is missing"
BROKEN = replace(
    BUSY,
    uploads=lambda now: [one | {"phase": "connect"} for one in _busy_uploads(0)[3:6]],
    readiness=Readiness(
        ready=False,
        faults=[f"upstream glance: {FIRST}: {_NOBODY}", f"upstream glance: {SECOND}: {DOWN.reason}"],
    ),
    servers=[server(health=Health(Sign.DOWN, _NOBODY)), server(SECOND, DOWN)],
    leased=4 * GIB,
    waiting=0,
    traffic=_broken_traffic,
)
